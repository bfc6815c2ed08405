"""Layer norm and group norm: layouts that modules make, the gradient's two constraints, what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torchvision.models.convnext import LayerNorm2d

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

FORMS = ("aten", "formula")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("module", [LayerNorm2d(6), nn.GroupNorm(3, 6), nn.GroupNorm(6, 6)], ids=str)
def test_modules_have_the_bits_of_autograd(differentiate, draw, module, layout):
    x = draw(2, 6, 4, 5).detach().contiguous(memory_format=layout).requires_grad_()
    expected, found = differentiate(module, [x]), differentiate(module, [x], "aten")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "norm",
    [lambda x: F.layer_norm(x, (60,), eps=0.0), lambda x: F.group_norm(x, 1, eps=0.0)],
    ids=["layer", "group"],
)
def test_neither_a_shift_nor_a_stretch_of_the_input_is_felt(differentiate, draw, form, norm):
    """Σ grad_x = 0 and Σ grad_x · x̂ = 0: the output stays the same along both directions."""
    x = draw(3, 60, dtype=torch.float64)
    output, (grad,) = differentiate(norm, [x], form)
    bound = tolerance("float64", "gradient").bound(float(grad.abs().sum(1).max()))
    assert float(grad.sum(1).abs().max()) <= bound
    assert float((grad * output).sum(1).abs().max()) <= bound


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.layer_norm(x, (5,)), RuntimeError, r"normalized_shape.*5.*2, 6, 4, 4"),
        (lambda x: F.layer_norm(x, ()), RuntimeError, "normalized_shape"),
        (lambda x: F.group_norm(x, 4), RuntimeError, r"2, 6, 4, 4.*num_groups=4|num_groups \(=4\)"),
        (lambda x: F.group_norm(x, 0), (RuntimeError, ZeroDivisionError), "0"),
        (lambda x: F.group_norm(x[0, 0, 0], 1), RuntimeError, "at least 2"),
        (lambda x: F.group_norm(x[:1, :, 0, 0], 6), ValueError, "Expected more than 1 value per channel .*1, 6"),
    ],
    ids=["shape", "no shape", "groups", "no groups", "no channels", "one value"],
)
def test_what_torch_refuses_is_refused(draw, form, call, error, message):
    x = draw(2, 6, 4, 4)
    with pytest.raises(error):
        call(x.detach())
    with Tape(form=form), pytest.raises(error, match=message):
        call(x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "norm", [lambda x: F.layer_norm(x, (4, 4)), lambda x: F.group_norm(x, 2)], ids=["layer", "group"]
)
def test_both_directions_can_be_captured_as_one_graph(draw, form, norm):
    x = draw(2, 6, 4, 4).detach()

    def forward_and_backward(x):
        leaf = x.detach().requires_grad_()
        with Tape(form=form) as tape:
            y = norm(leaf)
        return y.detach(), *tape.gradients(y, [leaf], torch.ones_like(y))

    graph = make_fx(forward_and_backward, tracing_mode="fake")(x)
    for captured, eager in zip(graph(x), forward_and_backward(x), strict=True):
        assert torch.equal(captured, eager)
