"""Resizing: hand-computed taps, what is refused, and the one place where torch's gradient is not the derivative."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import Tape
from trainloop.manual.errors import RefusedError
from trainloop.tolerance import tolerance


@pytest.fixture
def x():
    return torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


def grad_of(x, form, **how):
    x.grad = None
    with Tape(form=form) as tape:
        y = F.interpolate(x, **how)
    tape.backward(y, torch.arange(float(y.numel()), dtype=x.dtype).view(y.shape))
    return x.grad


@pytest.mark.parametrize("form", ["aten", "formula"])
def test_nearest_by_hand(form):
    row = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    assert grad_of(row, form, size=4).tolist() == [[[0.0 + 1.0, 2.0 + 3.0]]]


@pytest.mark.parametrize("form", ["aten", "formula"])
def test_linear_by_hand(form):
    row = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    # Positions -0.25 (clamped), 0.25, 0.75, 1.25 (clamped): weights of the left pixel 1, 3/4, 1/4, 0.
    assert grad_of(row, form, size=4, mode="linear").tolist() == [[[0.75 + 0.5, 0.25 + 1.5 + 3.0]]]


def test_upsample_is_interpolate(x):
    with Tape() as tape:
        y = nn.Upsample(scale_factor=2, mode="bilinear")(x)
    tape.backward(y, torch.arange(float(y.numel()), dtype=x.dtype).view(y.shape))
    found = x.grad
    assert torch.equal(found, grad_of(x, "aten", scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialiasing_is_refused_by_name(x, mode):
    with Tape(), pytest.raises(RefusedError, match=f"interpolate with mode='{mode}' and antialias=True has no rule"):
        F.interpolate(x, size=3, mode=mode, antialias=True)


def test_a_mode_of_another_rank_is_torchs_error(x):
    with Tape(), pytest.raises(NotImplementedError, match="Got 4D input, but linear mode needs 3D input"):
        F.interpolate(x, size=3, mode="linear")


def test_an_output_without_pixels_is_torchs_error(x):
    with Tape(), pytest.raises(RuntimeError, match="Input and output sizes should be greater than 0"):
        F.interpolate(x, size=0)


def test_bicubic_with_a_scale_that_keeps_the_size(x):
    how = {"scale_factor": 1.1, "mode": "bicubic"}
    F.interpolate(x, **how).backward(torch.arange(40.0, dtype=x.dtype).view(1, 2, 4, 5))
    autograds = x.grad
    assert torch.equal(grad_of(x, "aten", **how), autograds)
    # y is linear in x, so the derivative in the direction x itself is y: ⟨grad, x⟩ = ⟨g, y⟩.
    y = F.interpolate(x.detach(), **how)
    expected = float((y * torch.arange(40.0, dtype=x.dtype).view(y.shape)).sum())
    found = float((grad_of(x, "formula", **how) * x.detach()).sum())
    bound = tolerance("float64", "gradient").bound(abs(expected))
    assert abs(found - expected) <= bound
    assert abs(float((autograds * x.detach()).sum()) - expected) > bound
