"""Convolutions of whole numbers, in whole numbers: what a kernel must return, computed without it.

NumPy's int64 products and sums, tap by tap; no floating-point unit and no library of matrices takes part. With
h = p · stride + k · dilation − padding, and w likewise:

    y          [n, o, p, q] += weight     [o, c, k, l] · x     [n, c, h, w]
    grad_input [n, c, h, w] += grad_output[n, o, p, q] · weight[o, c, k, l]
    grad_weight[o, c, k, l] += grad_output[n, o, p, q] · x     [n, c, h, w]

A transposed convolution is the second line read forward, so that its grad_input is the first.

Legend: N batch, C O channels in and out, H W input, K L kernel, P Q output; groups are cut apart before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pair = tuple[int, int]
LARGEST = 3
"""of the numbers that are drawn"""
WIDE = 37
"""factor on inputs: they still fit into the 8 bits of bfloat16, while sums do not fit into the 11 of float16 and TF32, and 10⁴
products stay below 2²⁴, up to which float32 has every whole number"""


def some_numbers(shape: tuple[int, ...], salt: int) -> Ints:
    """Return whole numbers from −3 to 3 without a pattern that a kernel could get right by chance.

    Multiplication by 2³² over the golden ratio scatters the counter over 32 bits, of which the upper ones are taken. No stream
    of random numbers is touched.

    Args:
        shape: of the result.
        salt: another number gives other numbers.
    """
    # The products wrap around, which is the point.
    counter = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(7_919 * salt)
    scattered = counter * np.uint32(2_654_435_769)
    return ((scattered >> np.uint32(16)) % np.uint32(2 * LARGEST + 1)).astype(np.int64).reshape(shape) - LARGEST


@dataclass(frozen=True)
class Windows:
    """Which windows of an image are looked at.

    Args:
        stride, padding, dilation: as torch's, for height and width.
        groups: into which the channels are cut.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


def convolve(x_NCHW: Ints, w_OCKL: Ints, windows: Windows) -> Ints:
    """Return the convolution, shape (N, O, P, Q)."""
    kernel = w_OCKL.shape[2:]
    height, width = _padded_sizes(x_NCHW, windows)
    sizes = tuple(
        (size - dilation * (taps - 1) - 1) // stride + 1
        for size, dilation, taps, stride in zip((height, width), windows.dilation, kernel, windows.stride, strict=True)
    )
    y = np.zeros((len(x_NCHW), len(w_OCKL), *sizes), np.int64)
    padded = _pad(x_NCHW, windows)
    for tap, view in _taps(kernel, (sizes[0], sizes[1]), windows):
        for inputs, outputs in _groups(x_NCHW.shape[1], len(w_OCKL), windows.groups):
            y[:, outputs] += np.einsum("nchw,oc->nohw", padded[:, inputs][view], w_OCKL[outputs][:, :, *tap])
    return y


def scatter(y_NOPQ: Ints, w_OCKL: Ints, input_sizes: Pair, windows: Windows) -> Ints:
    """Return the adjoint of :func:`convolve` in its input, shape (N, C, *input_sizes)."""
    channels = w_OCKL.shape[1] * windows.groups
    x = np.zeros((len(y_NOPQ), channels, *input_sizes), np.int64)
    padded = _pad(x, windows)
    for tap, view in _taps(w_OCKL.shape[2:], y_NOPQ.shape[2:], windows):
        for inputs, outputs in _groups(channels, len(w_OCKL), windows.groups):
            part = padded[:, inputs]
            part[view] += np.einsum("nohw,oc->nchw", y_NOPQ[:, outputs], w_OCKL[outputs][:, :, *tap])
    rows, columns = windows.padding
    return padded[:, :, rows : rows + input_sizes[0], columns : columns + input_sizes[1]]


def correlate(y_NOPQ: Ints, x_NCHW: Ints, kernel: Pair, windows: Windows) -> Ints:
    """Return the adjoint of :func:`convolve` in its weight, shape (O, C, K, L)."""
    channels, out_channels = x_NCHW.shape[1], y_NOPQ.shape[1]
    w = np.zeros((out_channels, channels // windows.groups, *kernel), np.int64)
    padded = _pad(x_NCHW, windows)
    for tap, view in _taps(kernel, y_NOPQ.shape[2:], windows):
        for inputs, outputs in _groups(channels, out_channels, windows.groups):
            w[outputs][:, :, *tap] = np.einsum("nohw,nchw->oc", y_NOPQ[:, outputs], padded[:, inputs][view])
    return w


def _padded_sizes(x_NCHW: Ints, windows: Windows) -> Pair:
    height, width = (size + 2 * zeros for size, zeros in zip(x_NCHW.shape[2:], windows.padding, strict=True))
    return height, width


def _pad(x_NCHW: Ints, windows: Windows) -> Ints:
    rows, columns = windows.padding
    return np.pad(x_NCHW, ((0, 0), (0, 0), (rows, rows), (columns, columns)))


def _taps(
    kernel: tuple[int, ...], positions: tuple[int, ...], windows: Windows
) -> Iterator[tuple[Pair, tuple[slice, ...]]]:
    """Yield every tap (k, l) with what it sees of a padded image (N, C, H, W): one element for each position."""
    for k, l in itertools.product(range(kernel[0]), range(kernel[1])):  # noqa: E741  # K L kernel
        starts = (k * windows.dilation[0], l * windows.dilation[1])
        view = tuple(
            slice(start, start + (number - 1) * stride + 1, stride)
            for start, number, stride in zip(starts, positions, windows.stride, strict=True)
        )
        yield (k, l), (slice(None), slice(None), *view)


def _groups(channels: int, out_channels: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """Yield the channels in and the channels out of every group."""
    inputs, outputs = channels // groups, out_channels // groups
    for group in range(groups):
        yield slice(group * inputs, (group + 1) * inputs), slice(group * outputs, (group + 1) * outputs)
