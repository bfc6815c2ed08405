"""Transposed convolution: a case by hand, the identity that defines it, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import RULES, Tape
from trainloop.tolerance import tolerance

FORMS = ("aten", "formula")


@pytest.mark.parametrize("form", FORMS)
def test_two_elements_by_hand(form):
    x = torch.tensor([[[1.0, 2.0]]], requires_grad=True)
    weight = torch.tensor([[[1.0, 10.0, 100.0]]], requires_grad=True)
    with Tape(form=form) as tape:
        y = F.conv_transpose1d(x, weight, stride=2)
    assert y.tolist() == [[[1.0, 10.0, 102.0, 20.0, 200.0]]]
    tape.backward(y, torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]]))
    assert x.grad.tolist() == [[[321.0, 543.0]]]
    assert weight.grad.tolist() == [[[7.0, 10.0, 13.0]]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@torch.no_grad()
def test_it_is_the_adjoint_of_the_convolution_with_the_same_weight(draw, form, stride):
    """⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩."""
    x, weight = draw(2, 3, 9, 9, dtype=torch.float64), draw(4, 3, 3, 3, dtype=torch.float64)
    needs = (False, False, False)
    convolved, _ = RULES[torch.conv2d].forms[form].forward(x, weight, None, stride, 1, needs=needs)
    y = draw(*convolved.shape, dtype=torch.float64)
    rest = (9 + 2 - 3) % stride
    back, _ = RULES[torch.conv_transpose2d].forms[form].forward(y, weight, None, stride, 1, rest, needs=needs)
    left, right = float((convolved * y).sum()), float((x * back).sum())
    assert abs(left - right) <= tolerance("float64", "gradient").bound(float((convolved * y).abs().sum()))


@pytest.mark.parametrize("form", FORMS)
def test_a_frozen_weight_needs_no_input(draw, form):
    x, weight = draw(1, 2, 4, 4), draw(2, 3, 3, 3)
    _, saved = RULES[torch.conv_transpose2d].forms[form].forward(x, weight, needs=(True, False, False))
    assert not any(tensor is x for tensor in saved)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "weight_shape", "options", "message"),
    [
        ((1, 3, 4, 4), (4, 2, 3, 3), {}, "3 channels"),
        ((1, 3, 4, 4), (3, 2, 3, 3), {"output_padding": 1}, "output.padding"),
        ((3, 4), (3, 2, 3, 3), {}, "3, 4"),
        ((1, 3, 1, 1), (3, 2, 1, 1), {"padding": 1}, "size|too small"),
    ],
    ids=["channels", "output_padding", "axes", "nothing left"],
)
def test_what_does_not_fit_is_refused(draw, form, shape, weight_shape, options, message):
    with Tape(form=form), pytest.raises(RuntimeError, match=message):
        F.conv_transpose2d(draw(*shape), draw(*weight_shape), **options)


def test_the_formula_names_the_numbers_that_disagree(draw):
    with Tape(form="formula"):
        with pytest.raises(RuntimeError, match=r"3 channels .* \(4, 2, 3, 3\), whose first axis .* 4 channels"):
            F.conv_transpose2d(draw(1, 3, 4, 4), draw(4, 2, 3, 3))
        with pytest.raises(RuntimeError, match=r"output_padding \(=2\) .* stride \(=2\) or dilation \(=1\)"):
            F.conv_transpose2d(draw(1, 3, 4, 4), draw(3, 2, 3, 3), stride=2, output_padding=2)
        with pytest.raises(RuntimeError, match=r"\(1 − 1\)·1 − 2·1 \+ 1·\(1 − 1\) \+ 0 \+ 1 = -1"):
            F.conv_transpose2d(draw(1, 3, 1, 1), draw(3, 2, 1, 1), padding=1)
        with pytest.raises(RuntimeError, match=r"\(3, 4\) has 2 axes; .* 2 spatial axes expects 4"):
            F.conv_transpose2d(draw(3, 4), draw(3, 2, 3, 3))
