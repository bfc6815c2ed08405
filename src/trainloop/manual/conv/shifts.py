"""Convolution as a few shifted sums: for each tap of the kernel the whole image is moved, weighted and added.

Replaces ``torch.conv2d`` and its gradients. The idea: of the loops of ``loops.py`` only the two over the taps are kept; the
rest is one slice of the padded input for each tap, and one matrix product over the channels.

    y[n, o]                += weight[o, c, k, l] · x_kl[n, c]              summed over c, for each tap (k, l)
    grad_x_kl[n, c]        += weight[o, c, k, l] · grad_output[n, o]       summed over o
    grad_weight[o, c, k, l] = Σ_(n, p, q) grad_output[n, o, p, q] · x_kl[n, c, p, q]
    x_kl = the padded input from (k, l) · dilation on, every stride-th element

Cost: N · P · Q · G · O · C · K · L multiplications, taps on padding counted; K · L passes over the output. Memory: the
padded input, one slice and one product, for a block of images.

Limits: none: any stride, padding, dilation, groups. Numerical caveat: K · L sums of C products each are rounded one by one.

Legend: N batch, G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.blocks import blocks, images_a_block
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT, Geometry, Job
from trainloop.manual.conv.layout import grouped, new_image
from trainloop.manual.windows import Sizes, crop_spatial, pad_spatial

Tap = tuple[int, int]


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the convolution, shape (N, G·O, P, Q), in the input's memory format.

    Args:
        input: shape (N, G·C, H, W).
        weight: shape (G·O, C, K, L).
        bias: shape (G·O,), or None.
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.

    """
    job = Job.of(input, weight, Geometry(stride, padding, dilation, groups))
    output = new_image(job.output_shape, input).zero_()
    weight_GOCKL = weight.view(groups, -1, *weight.shape[1:])
    for images in _blocks(job, FORWARD):
        padded = pad_spatial(input[images], padding)
        for (k, l), reached in _slices(job):  # noqa: E741  # K L kernel
            x_NGCPQ = grouped(padded[reached], groups)
            product = torch.einsum("ngcpq,goc->ngopq", x_NGCPQ, weight_GOCKL[..., k, l])
            output[images] += product.flatten(1, 2)
    return output if bias is None else output.add_(bias.view(-1, 1, 1))


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_input, of ``input_shape``, in grad_output's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        weight: shape (G·O, C, K, L).
        input_shape: (N, G·C, H, W).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input_shape), tuple(weight.shape), Geometry(stride, padding, dilation, groups), weight.dtype)
    result = new_image(job.input_shape, grad_output)
    weight_GOCKL = weight.view(groups, -1, *weight.shape[1:])
    sizes = tuple(size + 2 * pad for size, pad in zip(input_shape[2:], padding, strict=True))
    for images in _blocks(job, GRAD_INPUT):
        dy_NGOPQ = grouped(grad_output[images], groups)
        shape = (dy_NGOPQ.shape[0], input_shape[1], *sizes)
        padded = new_image(shape, grad_output).zero_()
        for (k, l), reached in _slices(job):  # noqa: E741  # K L kernel
            product = torch.einsum("ngopq,goc->ngcpq", dy_NGOPQ, weight_GOCKL[..., k, l])
            padded[reached] += product.flatten(1, 2)
        result[images] = crop_spatial(padded, padding, tuple(input_shape[2:]))
    return result


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_weight, of ``weight_shape``, in the input's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        input: shape (N, G·C, H, W).
        weight_shape: (G·O, C, K, L).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input.shape), tuple(weight_shape), Geometry(stride, padding, dilation, groups), input.dtype)
    result = new_image(job.weight_shape, input).zero_()
    for images in _blocks(job, "grad_weight"):
        padded = pad_spatial(input[images], padding)
        dy_NGOPQ = grouped(grad_output[images], groups)
        for (k, l), reached in _slices(job):  # noqa: E741  # K L kernel
            x_NGCPQ = grouped(padded[reached], groups)
            result[..., k, l] += torch.einsum("ngopq,ngcpq->goc", dy_NGOPQ, x_NGCPQ).flatten(0, 1)
    return result


def _slices(job: Job) -> Iterator[tuple[Tap, tuple[slice, ...]]]:
    """Return, for each tap, the part of the padded input that it meets."""
    (down, across), _, (far, wide), _ = job.geometry
    height, width = job.output_sizes
    for k in range(job.kernel_size[0]):
        rows = slice(k * far, k * far + down * (height - 1) + 1, down)
        for l in range(job.kernel_size[1]):  # noqa: E741  # K L kernel
            columns = slice(l * wide, l * wide + across * (width - 1) + 1, across)
            yield (k, l), (slice(None), slice(None), rows, columns)


def _elements_of_image(job: Job) -> tuple[int, int, int]:
    """Return the elements of the padded input, of a slice of it, and of the output, for one image."""
    height, width = (size + 2 * pad for size, pad in zip(job.input_shape[2:], job.geometry.padding, strict=True))
    _, out_channels, rows, columns = job.output_shape
    return job.input_shape[1] * height * width, job.input_shape[1] * rows * columns, out_channels * rows * columns


def _images(job: Job) -> int:
    return images_a_block(job.input_shape[0], sum(_elements_of_image(job)) * job.dtype.itemsize)


def _blocks(job: Job, direction: str) -> Iterator[slice]:
    del direction
    return blocks(job.input_shape[0], _images(job))


def _workspace(job: Job, direction: str) -> int:
    """Return the bytes of a block (padded images and those before, a slice and a product with copies) and of the weights."""
    del direction
    padded, cut, output = _elements_of_image(job)
    weight = torch.Size(job.weight_shape).numel()
    return (_images(job) * (2 * padded + 3 * cut + 3 * output) + 3 * weight) * job.dtype.itemsize


SHIFTS = Algorithm("shifts", forward, grad_input, grad_weight, _workspace)
