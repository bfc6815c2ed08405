"""Sliding windows: what they see, and the sums that undo them."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.windows import crop_spatial, num_positions, pad_spatial, per_axis, scatter_windows, windows
from trainloop.tolerance import tolerance

GEOMETRIES = {
    "one axis": ((9,), (3,), (2,), (1,)),
    "two axes": ((7, 8), (3, 2), (1, 3), (2, 1)),
    "three axes": ((5, 4, 6), (2, 2, 3), (1, 2, 1), (1, 1, 2)),
}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("value", "expected"), [(2, (2, 2)), ((2,), (2, 2)), ([3, 4], (3, 4)), ((3, 4), (3, 4)), ((1, 2, 3), (1, 2, 3))]
)
def test_one_number_for_all_axes_or_one_for_each(value, expected):
    assert per_axis(value, 2) == expected


def test_windows_of_one_row():
    row = torch.arange(7.0).view(1, 1, 7)
    seen = windows(row, (3,), (2,), (2,))
    assert seen.tolist() == [[[[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]]]]


def test_windows_are_a_view():
    x = drawn(1, 2, 5, 5)
    assert windows(x, (3, 3), (1, 1), (1, 1)).data_ptr() == x.data_ptr()


def test_scattered_ones_count_the_windows_that_see_an_element():
    counts = scatter_windows(torch.ones(3, 1, 1, 3), (5,), (1,), (1,))
    assert counts.tolist() == [[[1.0, 2.0, 3.0, 2.0, 1.0]]]


@pytest.mark.parametrize(("sizes", "kernel_size", "stride", "dilation"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_scatter_is_the_adjoint_of_windows(sizes, kernel_size, stride, dilation):
    """⟨windows(x), y⟩ = ⟨x, scatter_windows(y)⟩."""
    x = drawn(2, 3, *sizes)
    positions = num_positions(sizes, kernel_size, stride, dilation)
    y = drawn(*kernel_size, 2, 3, *positions, seed=1)
    num_axes = len(sizes)
    taps_last = y.permute(*range(num_axes, 2 * num_axes + 2), *range(num_axes))
    left = float((windows(x, kernel_size, stride, dilation) * taps_last).sum())
    right = float((x * scatter_windows(y, sizes, stride, dilation)).sum())
    assert abs(left - right) <= tolerance("float64", "gradient").bound(float(y.abs().sum()))


def test_elements_that_no_window_sees_receive_nothing():
    total = scatter_windows(torch.ones(1, 1, 1, 2), (6,), (3,), (1,))
    assert total.tolist() == [[[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]]


def test_cropping_undoes_padding():
    x = drawn(2, 3, 4, 5)
    padded = pad_spatial(x, (1, 2), value=9.0)
    assert padded.shape == (2, 3, 6, 9)
    assert float(padded[0, 0, 0, 0]) == 9
    assert torch.equal(crop_spatial(padded, (1, 2), (4, 5)), x)


def test_no_padding_copies_nothing():
    x = drawn(1, 1, 3)
    assert pad_spatial(x, (0,)) is x
