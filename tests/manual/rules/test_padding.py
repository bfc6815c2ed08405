"""Padding: what torch refuses, and gradients where a border is wider than what is left."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import Tape

MODULES = {
    "ZeroPad2d": nn.ZeroPad2d((1, 2, 0, 1)),
    "ConstantPad2d": nn.ConstantPad2d(1, 3.5),
    "ReflectionPad2d": nn.ReflectionPad2d(2),
    "ReplicationPad2d": nn.ReplicationPad2d(2),
    "CircularPad2d": nn.CircularPad2d((1, 2, 2, 0)),
}


@pytest.fixture
def x():
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_the_padding_modules(x, module, layout):
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    module(x).square().sum().backward()
    expected, x.grad = x.grad, None
    with Tape() as tape:
        loss = module(x).square().sum()
    tape.backward(loss)
    assert torch.equal(x.grad, expected)


def test_a_constant_border_has_no_gradient(x):
    with Tape() as tape:
        y = F.pad(x, (1, 1))
    grad = torch.full(y.shape, float("nan"))
    grad[..., 1:-1] = 1
    tape.backward(y, grad)
    assert torch.equal(x.grad, torch.ones_like(x))


def test_a_border_wider_than_the_image_is_torchs_error(x):
    with (
        Tape(),
        pytest.raises(RuntimeError, match="Padding size should be less than the corresponding input dimension"),
    ):
        F.pad(x, (5, 5, 0, 0), mode="reflect")


def test_an_unknown_mode_is_torchs_error(x):
    with Tape(), pytest.raises(NotImplementedError, match="mirror"):
        F.pad(x, (1, 1), mode="mirror")


@pytest.mark.parametrize("form", ["aten", "formula"])
def test_a_replicated_edge_receives_all_its_copies(form):
    x = torch.ones(1, 1, 3, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.pad(x, (4, 0), mode="replicate")
    tape.backward(y, torch.ones_like(y))
    assert x.grad.tolist() == [[[5.0, 1.0, 1.0]]]
