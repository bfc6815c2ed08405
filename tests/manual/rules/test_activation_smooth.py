"""What the table of examples does not show of the smooth activations: what is kept, the ends of the range, hand-made values."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

RTOL = tolerance("float64", "gradient").rtol
FORMS = ("aten", "formula")


def slope_at(function, value, form):
    x = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    with Tape(form=form) as tape:
        y = function(x).sum()
    tape.backward(y)
    return x.grad.item()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (torch.sigmoid, 0.25),
        (torch.tanh, 1.0),
        (F.silu, 0.5),
        (F.gelu, 0.5),
        (lambda x: F.gelu(x, approximate="tanh"), 0.5),
        (F.mish, 0.6),
        (F.logsigmoid, 0.5),
        (F.softplus, 0.5),
        (F.softsign, 1.0),
    ],
)
def test_the_slope_at_zero(function, slope, form):
    assert slope_at(function, 0.0, form) == pytest.approx(slope, rel=RTOL)


@pytest.mark.parametrize("form", FORMS)
def test_softplus_is_straight_above_its_threshold(form):
    assert slope_at(lambda x: F.softplus(x, 2.0, 4.0), 2.5, form) == 1.0
    assert slope_at(lambda x: F.softplus(x, 2.0, 4.0), 1.5, form) == pytest.approx(1 / (1 + math.exp(-3)), rel=RTOL)


@pytest.mark.parametrize("function", [torch.sigmoid_, torch.tanh_])
def test_what_keeps_its_output_copies_nothing_in_place(function):
    x = torch.randn(3, requires_grad=True)
    with Tape() as tape:
        h = x * 1
        y = function(h)
    assert y is h
    assert tape.nodes[-1].saved[0] is h


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [F.elu, F.celu, F.selu])
def test_the_exponential_units_keep_their_output_in_place(function, form, differentiate, assert_close):
    x = torch.linspace(-3, 3, 13, dtype=torch.float64, requires_grad=True)
    _, (in_place,) = differentiate(lambda x: function(x * 1, inplace=True), [x], form)
    _, (out_of_place,) = differentiate(lambda x: function(x * 1), [x], form)
    assert_close(in_place, out_of_place)


def test_glu_of_an_odd_size_fails_as_in_torch():
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError) as expected:
        F.glu(x)
    with pytest.raises(RuntimeError) as found, Tape():
        F.glu(x)
    assert str(found.value) == str(expected.value)
    assert "3" in str(found.value)


def test_gelu_of_an_unknown_kind_fails_as_in_torch():
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="approximate") as expected:
        F.gelu(x, approximate="erf")
    with pytest.raises(RuntimeError) as found, Tape():
        F.gelu(x, approximate="erf")
    assert str(found.value) == str(expected.value)
