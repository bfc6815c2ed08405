"""Transposed convolution as scatter-add: each input element adds its own patch, the weight times the element, to the output.

Replaces ``torch.conv_transpose2d`` (and 1d, 3d), and its gradients. The idea: the element at p lays down a patch of the
kernel's shape that begins at p · stride, and where patches overlap they add up. All elements lay down the same tap k at once:
that is one matrix product over the channels, added to the elements p · stride + k · dilation of the output, a strided slice.
Backwards each element collects from where it has scattered to, so the same slices are read instead of added to.

    total[n, o, p · stride + k · dilation] += Σ_c weight[c, o, k] · x[n, c, p]       for each tap k
    y = total without the first and last ``padding`` elements, plus ``output_padding`` ones at the end   (+ bias[o])

    grad_x     [n, c, p] = Σ_(o, k) weight[c, o, k] · g[n, o, p · stride + k · dilation − padding]
    grad_weight[c, o, k] = Σ_(n, p) x[n, c, p]      · g[n, o, p · stride + k · dilation − padding]

Cost: N · X · G · C · O · K multiplications in each direction, taps that padding cuts off counted. Extra memory: the total (or
the padded g), and what one tap adds. Limits: none; any stride, padding, output_padding, dilation, groups, number of spatial
axes. Known inefficiency: the output is read and written once per tap.

Numerical caveat: sums over the channels in the order of the matrix library, over the taps in theirs.

Legend: N batch, G groups, C in_channels and O out_channels of one group, X… input sizes, K… kernel sizes, Y… output sizes, g
grad_output.

Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, arXiv:1603.07285, chapter 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainloop.manual.conv.layout import grouped, memory_format
from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob, transposed_sizes
from trainloop.manual.windows import Sizes, crop_spatial, pad_spatial

Place = tuple[int | slice, ...]
"""an index of a grouped tensor, of three axes without a number and the spatial ones"""
EVERY = (slice(None), slice(None), slice(None))


def forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return the transposed convolution.

    Args:
        input: shape (N, G·C, X…).
        weight: shape (G·C, O, K…).
        bias: shape (G·O,), or None.
        stride: distance of the patches of two neighbours, for each spatial axis.
        padding: how much is cut off the output on both sides, for each spatial axis.
        output_padding: how much is added to the output at the end, for each spatial axis.
        groups: G.
        dilation: distance of a patch's taps, for each spatial axis.

    Returns:
        y, shape (N, G·O, Y…), in the memory format of ``input``.
    """
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    x, w = grouped(input, groups), _grouped_weight(weight, groups)
    sizes, kernel_size = tuple(input.shape[2:]), tuple(weight.shape[2:])
    uncropped = transposed_sizes(sizes, kernel_size, geometry._replace(padding=(0,) * len(padding)))
    total = input.new_zeros((input.shape[0], groups * weight.shape[1], *uncropped))
    total = total.contiguous(memory_format=memory_format(input))
    for tap, reached in _taps(sizes, kernel_size, stride, dilation):
        added = torch.einsum("gco,ngc...->ngo...", w[tap], x)
        grouped(total, groups)[reached] += added
    output = crop_spatial(total, padding, transposed_sizes(sizes, kernel_size, geometry))
    if bias is not None:
        output = output + bias.view(-1, *(1 for _axis in sizes))
    return output.contiguous(memory_format=memory_format(input))


def grad_input(
    grad_output: Tensor,
    weight: Tensor,
    input_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return the gradient of the input, shape (N, G·C, X…), in the memory format of ``grad_output``.

    Args:
        grad_output: shape (N, G·O, Y…).
        weight: shape (G·C, O, K…).
        input_shape: (N, G·C, X…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`; the size of ``grad_output`` says it already.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    del output_padding
    g, w = grouped(pad_spatial(grad_output, padding), groups), _grouped_weight(weight, groups)
    grad = grad_output.new_zeros(input_shape).contiguous(memory_format=memory_format(grad_output))
    for tap, reached in _taps(tuple(input_shape[2:]), tuple(weight.shape[2:]), stride, dilation):
        grouped(grad, groups).add_(torch.einsum("gco,ngo...->ngc...", w[tap], g[reached]))
    return grad


def grad_weight(
    grad_output: Tensor,
    input: Tensor,
    weight_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return the gradient of the weight, shape (G·C, O, K…).

    Args:
        grad_output: shape (N, G·O, Y…).
        input: shape (N, G·C, X…).
        weight_shape: (G·C, O, K…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`; the size of ``grad_output`` says it already.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    del output_padding
    g, x = grouped(pad_spatial(grad_output, padding), groups), grouped(input, groups)
    x = x.flatten(3)
    grad = input.new_empty(weight_shape)
    for tap, reached in _taps(tuple(input.shape[2:]), tuple(weight_shape[2:]), stride, dilation):
        _grouped_weight(grad, groups)[tap] = torch.einsum("ngcx,ngox->gco", x, g[reached].flatten(3))
    return grad


def _grouped_weight(weight: Tensor, groups: int) -> Tensor:
    """(G·C, O, K…) → (G, C, O, K…), a view."""
    return weight.view(groups, weight.shape[0] // groups, *weight.shape[1:])


def _taps(sizes: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple[Place, Place]]:
    """Yield where each tap is in the weight, and where on the uncropped output it lies for the input elements 0 to X − 1."""
    for tap in itertools.product(*(range(size) for size in kernel_size)):
        numbers = zip(tap, sizes, stride, dilation, strict=True)
        reached = (slice(k * d, k * d + s * (size - 1) + 1, s) for k, size, s, d in numbers)
        yield (*EVERY, *tap), (*EVERY, *reached)


def _workspace(job: TransposedJob, direction: str) -> int:
    """Return the bytes of the uncropped output and of what one tap reads and adds, each twice for its other layout."""
    del direction
    uncropped = transposed_sizes(job.input_shape[2:], job.kernel_size, job.geometry._replace(padding=(0, 0)))
    num, out_channels = job.output_shape[:2]
    total = num * out_channels * math.prod(uncropped)
    per_tap = num * math.prod(job.input_shape[2:]) * (job.input_shape[1] + out_channels)
    return 2 * (total + per_tap) * job.dtype.itemsize


SCATTER = TransposedAlgorithm("scatter", forward, grad_input, grad_weight, workspace=_workspace)
