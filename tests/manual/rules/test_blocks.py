"""Blocks: adjoint identities, and module forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

WINDOWS = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (2, 1)},
]
MODULES = {
    "PixelShuffle": nn.PixelShuffle(2),
    "PixelUnshuffle": nn.PixelUnshuffle(2),
    "ChannelShuffle": nn.ChannelShuffle(2),
    "Unfold": nn.Unfold(2),
}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("form", ["aten", "formula"])
@pytest.mark.parametrize("how", WINDOWS, ids=str)
def test_fold_is_the_adjoint_of_unfold(how, form):
    """⟨unfold(x), c⟩ = ⟨x, fold(c)⟩, so the gradient of ⟨unfold(x), c⟩ is fold(c)."""
    x = randn(2, 3, 6, 7).requires_grad_()
    with Tape(form=form) as tape:
        columns = F.unfold(x, **how)
    c = randn(*columns.shape, seed=1)
    tape.backward(columns, c)
    expected = F.fold(c, (6, 7), **how)
    assert float((x.grad - expected).abs().max()) <= tolerance("float64", "gradient").bound(float(expected.abs().max()))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_the_modules_have_autograds_gradients(module, layout):
    x = randn(2, 4, 6, 4).contiguous(memory_format=layout).requires_grad_()
    module(x).square().sum().backward()
    expected, x.grad = x.grad, None
    with Tape() as tape:
        loss = module(x).square().sum()
    tape.backward(loss)
    assert torch.equal(x.grad, expected)
