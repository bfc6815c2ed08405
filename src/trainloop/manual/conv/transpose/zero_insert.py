"""Transposed convolution as a convolution: zeros between the elements, then stride 1 with the flipped kernel.

Replaces ``torch.conv_transpose2d`` and its gradients. The idea: an output element asks which input elements' patches reach
it. Spread the input out, stride − 1 zeros between neighbours, and those elements lie in a window around it, seen through the
kernel in reverse order; so any algorithm for convolutions serves, with the kernel flipped and its channels exchanged. The
gradients are those of the convolution, with the zeros dropped and the kernel turned back.

    spread[n, c, p · stride] = x[n, c, p], 0 elsewhere;      turned[o, c, k] = weight[c, o, K − 1 − k]
    y = conv(spread, turned),   stride 1, the same dilation,
        with dilation · (K − 1) − padding zeros before spread and output_padding more after it; below 0 it is cropped

    grad_spread = conv.grad_input(g, turned);           grad_x[n, c, p] = grad_spread[n, c, p · stride]
    grad_turned = conv.grad_weight(g, spread);          grad_weight[c, o, k] = grad_turned[o, c, K − 1 − k]

Cost: N · P · C · O · K multiplications in each direction, P the number of output elements: stride² times as many as scattering,
nearly all of them by zero where the stride is above 1. Extra memory: the spread input and what the convolution takes. Limits:
those of the convolution, whose job has stride 1 and no padding.

Numerical caveat: the convolution's.

Legend: N batch, G groups, C in_channels and O out_channels of one group, X… input sizes, K… kernel sizes, Y… output sizes, g
grad_output.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, chapter 4; Shi et al. 2016, arXiv:1609.07009, on what the zeros cost.
"""

from __future__ import annotations

import math
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.im2col import IM2COL
from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.conv.layout import memory_format
from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.job import TransposedJob
from trainloop.manual.windows import Sizes, crop_spatial

Edges = tuple[tuple[int, int], ...]
"""for each spatial axis, how many zeros to add before and after; below 0 to crop"""


def zero_insertion(algorithm: Algorithm, name: str) -> TransposedAlgorithm:
    """Return zero-insertion with that algorithm for the convolution.

    Args:
        algorithm: of ``CONV2D``, or any other.
        name: of the result.
    """
    return TransposedAlgorithm(
        name,
        partial(forward, algorithm),
        partial(grad_input, algorithm),
        partial(grad_weight, algorithm),
        workspace=partial(_workspace, algorithm),
        multiplications=lambda job, direction: algorithm.multiplications(convolution_of(job), direction),
        refuses=partial(_refuses, algorithm),
        kernel=lambda job, direction: f"{algorithm.name}: {algorithm.kernel(convolution_of(job), direction)}",
    )


def forward(
    algorithm: Algorithm,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return the transposed convolution, shape (N, G·O, Y…), in the memory format of ``input``.

    Args:
        algorithm: for the convolution.
        input: shape (N, G·C, X…).
        weight: shape (G·C, O, K…).
        bias: shape (G·O,), or None.
        stride: distance of the patches of two neighbours, for each spatial axis.
        padding: how much is cut off the output on both sides, for each spatial axis.
        output_padding: how much is added to the output at the end, for each spatial axis.
        groups: G.
        dilation: distance of a patch's taps, for each spatial axis.
    """
    edges = _edges(tuple(weight.shape[2:]), padding, output_padding, dilation)
    spread = insert_zeros(input, stride, edges)
    output = algorithm.forward(spread, turned(weight, groups), bias, *_stride_1(dilation, groups))
    return output.contiguous(memory_format=memory_format(input))


def grad_input(
    algorithm: Algorithm,
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
        algorithm: for the convolution.
        grad_output: shape (N, G·O, Y…).
        weight: shape (G·C, O, K…).
        input_shape: (N, G·C, X…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    edges = _edges(tuple(weight.shape[2:]), padding, output_padding, dilation)
    spread_shape = (*input_shape[:2], *_spread_sizes(tuple(input_shape[2:]), stride, edges))
    grad_spread = algorithm.grad_input(grad_output, turned(weight, groups), spread_shape, *_stride_1(dilation, groups))
    return drop_zeros(grad_spread, tuple(input_shape[2:]), stride, edges).contiguous(
        memory_format=memory_format(grad_output)
    )


def grad_weight(
    algorithm: Algorithm,
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
        algorithm: for the convolution.
        grad_output: shape (N, G·O, Y…).
        input: shape (N, G·C, X…).
        weight_shape: (G·C, O, K…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    spread = insert_zeros(input, stride, _edges(tuple(weight_shape[2:]), padding, output_padding, dilation))
    channels, out_channels, *kernel_size = weight_shape
    shape = (out_channels * groups, channels // groups, *kernel_size)
    return turned(algorithm.grad_weight(grad_output, spread, shape, *_stride_1(dilation, groups)), groups)


def turned(weight: Tensor, groups: int) -> Tensor:
    """Return the weight with its taps in reverse order and the channels of each group exchanged; twice gives it back.

    Args:
        weight: shape (G·C, O, K…).
        groups: G.

    Returns:
        A copy, shape (G·O, C, K…).
    """
    channels, out_channels, *kernel_size = weight.shape
    by_group = weight.reshape(groups, channels // groups, out_channels, *kernel_size).transpose(1, 2)
    return by_group.flip(*range(3, by_group.dim())).reshape(groups * out_channels, channels // groups, *kernel_size)


def insert_zeros(input: Tensor, stride: Sizes, edges: Edges) -> Tensor:
    """Return the spread input: stride − 1 zeros between neighbours, and zeros around (or a part cropped) as ``edges`` say.

    Args:
        input: shape (N, C, X…).
        stride: s, for each spatial axis.
        edges: how much to add (b, a) before and after, for each spatial axis; below 0 to crop.

    Returns:
        Shape (N, C, b + (X − 1)·s + 1 + a …), in the memory format of ``input``.
    """
    sizes = tuple(input.shape[2:])
    room_sizes = _spread_sizes(sizes, stride, _not_below_0(edges))
    room = input.new_zeros((*input.shape[:2], *room_sizes)).contiguous(memory_format=memory_format(input))
    room[_places(sizes, stride, edges)] = input
    return crop_spatial(room, tuple(max(-before, 0) for before, _ in edges), _spread_sizes(sizes, stride, edges))


def drop_zeros(spread: Tensor, sizes: Sizes, stride: Sizes, edges: Edges) -> Tensor:
    """Return the elements that :func:`insert_zeros` has placed, 0 for those that it cropped: its adjoint.

    Args:
        spread: shape (N, C, b + (X − 1)·s + 1 + a …).
        sizes: X…
        stride: as in :func:`insert_zeros`.
        edges: as in :func:`insert_zeros`.
    """
    cropped = [amount for before, after in reversed(edges) for amount in (max(-before, 0), max(-after, 0))]
    return F.pad(spread, cropped)[_places(sizes, stride, edges)]


def convolution_of(job: TransposedJob) -> Job:
    """Return the convolution that is carried out: of the spread input, with stride 1."""
    geometry = job.geometry
    edges = _edges(job.kernel_size, geometry.padding, geometry.output_padding, geometry.dilation)
    sizes = _spread_sizes(job.input_shape[2:], geometry.stride, edges)
    channels, out_channels, *kernel_size = job.weight_shape
    weight_shape = (out_channels * geometry.groups, channels // geometry.groups, *kernel_size)
    geometry_1 = _stride_1(geometry.dilation, geometry.groups)
    return Job((*job.input_shape[:2], *sizes), weight_shape, geometry_1, job.dtype, job.device)


def _edges(kernel_size: Sizes, padding: Sizes, output_padding: Sizes, dilation: Sizes) -> Edges:
    """Return what is added before and after along each axis, so that the convolution yields Y elements."""
    numbers = zip(kernel_size, padding, output_padding, dilation, strict=True)
    return tuple((d * (k - 1) - pad, d * (k - 1) - pad + more) for k, pad, more, d in numbers)


def _spread_sizes(sizes: Sizes, stride: Sizes, edges: Edges) -> Sizes:
    numbers = zip(sizes, stride, edges, strict=True)
    return tuple(before + (size - 1) * s + 1 + after for size, s, (before, after) in numbers)


def _places(sizes: Sizes, stride: Sizes, edges: Edges) -> tuple[slice, ...]:
    """Return where the input's elements lie on a spread input that is not cropped."""
    numbers = zip(sizes, stride, _not_below_0(edges), strict=True)
    spatial = (slice(before, before + (size - 1) * s + 1, s) for size, s, (before, _) in numbers)
    return (slice(None), slice(None), *spatial)


def _not_below_0(edges: Edges) -> Edges:
    return tuple((max(before, 0), max(after, 0)) for before, after in edges)


def _stride_1(dilation: Sizes, groups: int) -> Geometry:
    return Geometry((1,) * len(dilation), (0,) * len(dilation), dilation, groups)


def _refuses(algorithm: Algorithm, job: TransposedJob) -> str | None:
    reason = algorithm.refuses(convolution_of(job))
    return None if reason is None else f"{algorithm.name}, which convolves the spread input, says: {reason}"


def _workspace(algorithm: Algorithm, job: TransposedJob, direction: str) -> int:
    """Return the bytes of the spread input before and after cropping, of the turned weight, and of the convolution."""
    geometry, inner = job.geometry, convolution_of(job)
    edges = _not_below_0(_edges(job.kernel_size, geometry.padding, geometry.output_padding, geometry.dilation))
    room = math.prod(job.input_shape[:2]) * math.prod(_spread_sizes(job.input_shape[2:], geometry.stride, edges))
    own = 2 * (room + math.prod(job.weight_shape)) + math.prod(job.output_shape)
    return own * job.dtype.itemsize + algorithm.workspace(inner, direction)


ZERO_INSERT = zero_insertion(IM2COL, "zero_insert")
