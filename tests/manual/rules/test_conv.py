"""Convolution on the tape: what is saved, what is refused, and that the formula needs no convolution of the library."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from trainloop.manual import RULES, Tape

FORMS = ("aten", "formula")


class NoConvolution(TorchDispatchMode):
    """Refuses the library's convolutions."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "conv" not in str(func), f"called {func}"
        return func(*args, **(kwargs or {}))


def test_the_formula_calls_no_convolution_of_the_library(draw):
    x, weight, bias = draw(2, 4, 6, 6), draw(6, 2, 3, 3), draw(6)
    with NoConvolution():
        with Tape(form="formula") as tape:
            loss = F.conv2d(x, weight, bias, stride=2, padding=1, groups=2).sum()
        tape.backward(loss)
    assert x.grad is not None


def test_the_mode_that_refuses_convolutions_would_notice_one(draw):
    with NoConvolution(), pytest.raises(AssertionError, match="convolution"):
        F.conv2d(draw(1, 1, 3, 3), draw(1, 1, 2, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_module_that_pads_by_other_means(differentiate, draw, assert_close, form, mode):
    module = nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode)
    x = draw(2, 3, 5, 5)
    _, expected = differentiate(module, [x])
    _, found = differentiate(module, [x], form)
    assert_close(found[0], expected[0])


def saved_by(form, x, weight, needs):
    _, saved = RULES[torch.conv2d].forms[form].forward(x, weight, None, needs=needs)
    return [tensor for tensor in saved if isinstance(tensor, torch.Tensor)]


@pytest.mark.parametrize("form", FORMS)
def test_a_frozen_weight_needs_no_input(draw, form):
    x, weight = draw(1, 2, 4, 4), draw(3, 2, 3, 3)
    assert not any(tensor is x for tensor in saved_by(form, x, weight, (True, False, False)))
    assert any(tensor is x for tensor in saved_by(form, x, weight, (True, True, False)))


@pytest.mark.parametrize("form", FORMS)
def test_a_frozen_weight_passes_gradients_on(differentiate, draw, assert_close, form):
    x, weight = draw(2, 3, 5, 5), draw(4, 3, 3, 3).detach()
    _, expected = differentiate(F.conv2d, [x, weight])
    _, found = differentiate(F.conv2d, [x, weight], form)
    assert found[1] is None
    assert_close(found[0], expected[0])


@pytest.mark.parametrize("form", FORMS)
def test_an_infinite_gradient_stays_where_torch_has_it(differentiate, draw, form):
    x, weight = draw(1, 1, 4, 4), draw(1, 1, 3, 3)
    grad_output = torch.tensor([[[[float("inf"), 1.0], [1.0, 1.0]]]])
    _, expected = differentiate(F.conv2d, [x, weight], grad_output=grad_output)
    _, found = differentiate(F.conv2d, [x, weight], form, grad_output=grad_output)
    assert [grad.isfinite().tolist() for grad in found] == [grad.isfinite().tolist() for grad in expected]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "weight_shape", "options", "message"),
    [
        ((1, 3, 4, 4), (2, 4, 3, 3), {}, "3 channels"),
        ((1, 3, 4, 4), (2, 3, 5, 5), {}, r"4|\(5, 5\)"),
        ((1, 4, 4, 4), (3, 2, 3, 3), {"groups": 2}, "3|groups"),
        ((3, 4), (2, 3, 3, 3), {}, "3, 4"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"padding": "same", "stride": 2}, "same"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"padding": "full"}, "full|valid"),
    ],
    ids=["channels", "kernel", "groups", "axes", "same and stride", "unknown padding"],
)
def test_what_does_not_fit_is_refused(draw, form, shape, weight_shape, options, message):
    with Tape(form=form), pytest.raises(RuntimeError, match=message):
        F.conv2d(draw(*shape), draw(*weight_shape), **options)


def test_the_formula_names_both_numbers_that_disagree(draw):
    with Tape(form="formula"):
        with pytest.raises(
            RuntimeError, match=r"input of 3 channels .* \(2, 4, 3, 3\) with groups \(=1\).* 4 channels"
        ):
            F.conv2d(draw(1, 3, 4, 4), draw(2, 4, 3, 3))
        with pytest.raises(RuntimeError, match=r"\(4 \+ 2·0 − 1·\(5 − 1\) − 1\) / 1 \+ 1 = 0, expected at least 1"):
            F.conv2d(draw(1, 3, 4, 4), draw(2, 3, 5, 5))
        with pytest.raises(RuntimeError, match=r"input of shape \(3, 4\) has 2 axes; .* expects 4, \(N, C, H, W\)"):
            F.conv2d(draw(3, 4), draw(2, 3, 3, 3))
        with pytest.raises(RuntimeError, match=r"padding='same' is not supported with stride \(=2\)"):
            F.conv2d(draw(1, 3, 4, 4), draw(2, 3, 3, 3), padding="same", stride=2)
        with pytest.raises(RuntimeError, match=r"padding \(='full'\) must be"):
            F.conv2d(draw(1, 3, 4, 4), draw(2, 3, 3, 3), padding="full")


@pytest.mark.parametrize("form", FORMS)
def test_both_directions_can_be_captured_as_one_graph(draw, form):
    x, weight, bias = draw(2, 4, 6, 6).detach(), draw(6, 2, 3, 3).detach(), draw(6).detach()

    def forward_and_backward(x, weight, bias):
        leaves = [x.detach().requires_grad_(), weight.detach().requires_grad_(), bias.detach().requires_grad_()]
        with Tape(form=form) as tape:
            y = F.conv2d(*leaves, stride=2, padding=1, groups=2)
        return y.detach(), *tape.gradients(y, leaves, torch.ones_like(y))

    graph = make_fx(forward_and_backward, tracing_mode="fake")(x, weight, bias)
    for ours, eager in zip(graph(x, weight, bias), forward_and_backward(x, weight, bias), strict=True):
        assert torch.equal(ours, eager)
