"""Sliding windows over the spatial axes of a tensor: cut out as a view, added back by slices.

Convolution and pooling look at the same windows: position p along an axis sees the elements p · stride + k · dilation of the
padded input, k = 0, …, kernel_size − 1. :func:`windows` shows them without a copy; :func:`scatter_windows` is its adjoint,
⟨windows(x), y⟩ = ⟨x, scatter_windows(y)⟩ (with the taps of y in front), and so the gradient of everything that reads windows.

Legend: N batch, C channels, X… sizes along the spatial axes, P… numbers of window positions, K… kernel sizes. The dots stand
for one, two or three axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor

Sizes = tuple[int, ...]
IntOrSizes = int | Sequence[int]
"""An argument as torch takes it: one number for all axes, or one for each."""


def per_axis(value: IntOrSizes, num_axes: int) -> Sizes:
    """Return one number for each spatial axis: torch takes one number for all of them, or one for each."""
    if type(value) is tuple and len(value) == num_axes:  # what the modules of torch.nn pass
        return value
    if isinstance(value, (tuple, list)):
        return tuple(value) * num_axes if len(value) == 1 else tuple(value)
    return (value,) * num_axes  # type: ignore[return-value]  # an int, or one of make_fx's symbols for it


def window_extent(kernel_size: Sizes, dilation: Sizes) -> Sizes:
    """Return how far a window reaches along each axis: dilation · (kernel_size − 1) + 1."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))


def num_positions(sizes: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    """Return how many windows fit along each axis of a padded input: (size − extent) // stride + 1."""
    extent = window_extent(kernel_size, dilation)
    return tuple((size - reach) // s + 1 for size, reach, s in zip(sizes, extent, stride, strict=True))


def pad_spatial(input: Tensor, padding: Sizes, value: float = 0.0) -> Tensor:
    """Return ``input`` (N, C, X…) with ``padding`` elements of ``value`` on both sides of each spatial axis."""
    if not any(padding):
        return input
    return F.pad(input, [amount for amount in reversed(padding) for _side in range(2)], value=value)


def crop_spatial(padded: Tensor, padding: Sizes, sizes: Sizes) -> Tensor:
    """Return the part of ``padded`` that :func:`pad_spatial` was given: ``sizes`` elements after ``padding``."""
    for axis, (before, size) in enumerate(zip(padding, sizes, strict=True), start=2):
        padded = padded.narrow(axis, before, size)
    return padded


def windows(padded: Tensor, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Tensor:
    """Return every window of ``padded`` (N, C, X…) as a view of shape (N, C, P…, K…)."""
    extent = window_extent(kernel_size, dilation)
    for axis, (reach, step, spread) in enumerate(zip(extent, stride, dilation, strict=True), start=2):
        padded = padded.unfold(axis, reach, step)[..., ::spread]
    return padded


def scatter_windows(
    columns: Tensor, sizes: Sizes, stride: Sizes, dilation: Sizes, *, channels_innermost: bool = False
) -> Tensor:
    """Add windows up where they came from.

    total[…, p · stride + k · dilation] += columns[k…, …, p…], one addition of a strided slice per tap k. The last tap comes
    first, so that the terms of one element are added in the order of the window positions, as the library's loops do.

    Args:
        columns: one value per window and tap, shape (K…, N, C, P…); an expanded view costs no memory.
        sizes: X…, at least as far as the last window reaches.
        stride: of the windows.
        dilation: of the taps.
        channels_innermost: how the result lies in memory; fastest if the columns lie so, too.

    Returns:
        The sums, shape (N, C, X…).
    """
    num_axes = len(sizes)
    kernel_size, (num, channels, *positions) = columns.shape[:num_axes], columns.shape[num_axes:]
    if channels_innermost:
        total = columns.new_zeros((num, *sizes, channels)).movedim(-1, 1)
    else:
        total = columns.new_zeros((num, channels, *sizes))
    for tap in _taps_backwards(kernel_size):
        reached = [
            slice(k * d, k * d + s * (p - 1) + 1, s)
            for k, d, s, p in zip(tap, dilation, stride, positions, strict=True)
        ]
        total[(slice(None), slice(None), *reached)] += columns[tap]
    return total


def _taps_backwards(kernel_size: Sequence[int]) -> Iterator[Sizes]:
    return itertools.product(*(range(size - 1, -1, -1) for size in kernel_size))
