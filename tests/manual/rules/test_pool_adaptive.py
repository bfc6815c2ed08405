"""Adaptive pooling: where bins begin and end, and what comes back of an average and of a tie."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.rules.pool_adaptive import bins

FORMS = ("aten", "formula")


@pytest.mark.parametrize(
    ("size", "num_bins", "expected"),
    [(6, 3, [(0, 2), (2, 4), (4, 6)]), (5, 2, [(0, 3), (2, 5)]), (2, 3, [(0, 1), (0, 2), (1, 2)]), (4, 1, [(0, 4)])],
)
def test_bins_cover_the_axis_and_overlap_where_they_must(size, num_bins, expected):
    assert [(bin.start, bin.stop) for bin in bins(size, num_bins)] == expected


@pytest.mark.parametrize("form", FORMS)
def test_an_element_of_two_bins_receives_from_both(form):
    x = torch.zeros(1, 1, 5, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.adaptive_avg_pool1d(x, 2)
    tape.backward(y, torch.tensor([[[3.0, 30.0]]]))
    assert x.grad.flatten().tolist() == [1.0, 1.0, 11.0, 10.0, 10.0]


@pytest.mark.parametrize("form", FORMS)
def test_one_bin_is_a_mean(form):
    x = torch.zeros(1, 1, 2, 4, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.adaptive_avg_pool2d(x, 1)
    tape.backward(y, torch.ones_like(y))
    assert x.grad.tolist() == torch.full((1, 1, 2, 4), 0.125).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_the_first_of_equal_maxima_receives_the_gradient(form):
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.adaptive_max_pool2d(x, 1)
    tape.backward(y, torch.ones_like(y))
    assert x.grad.flatten().tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("form", FORMS)
def test_indices_come_with_the_maxima(draw, form):
    x = draw(2, 3, 5, 4)
    expected = F.adaptive_max_pool2d(x.detach(), 2, return_indices=True)
    with Tape(form=form):
        y, indices = F.adaptive_max_pool2d(x, 2, return_indices=True)
    assert torch.equal(y, expected[0])
    assert torch.equal(indices, expected[1])


@pytest.mark.parametrize("form", FORMS)
def test_torch_says_what_is_wrong(draw, form):
    with Tape(form=form), pytest.raises(RuntimeError, match="output_size must be 2"):
        F.adaptive_avg_pool2d(draw(1, 2, 4, 4), (2, 2, 2))
