"""Convolution as one matrix product: write every window of the input as a column (im2col), multiply by the weight.

Replaces ``torch.conv1d``, ``conv2d`` and ``conv3d``, and their gradients. The idea: a convolution is a matrix product
whose one factor repeats each input element once per tap that sees it. Written out in memory, that factor turns all three
directions into products that a matrix library is fast at.

    columns[g, (c, k), (n, p)] = x[n, (g, c), p · stride + k · dilation − padding]
    y            [g, o, (n, p)] = Σ_(c, k)  weight[g, o, (c, k)] · columns[g, (c, k), (n, p)]  (+ bias)
    grad_weight [g, o, (c, k)] = Σ_(n, p)  grad_output[g, o, (n, p)] · columns[g, (c, k), (n, p)]
    grad_columns[g, (c, k), (n, p)] = Σ_o  weight[g, o, (c, k)] · grad_output[g, o, (n, p)]
    grad_input = grad_columns, each added where it came from (col2im);   grad_bias[g, o] = Σ_(n, p) grad_output[g, o, (n, p)]

Cost: N · P · G · O · C · K multiplications in each direction, taps on padding counted. Extra memory: the columns, K · P / X
times the input (9 times for 3 × 3 with stride 1), in each direction and while it runs: nothing of it is saved, so the
backward writes them out again. Grouped convolutions become G small products; with one channel a group (depthwise) these
are matrix-vector products and slow.

Numerical caveat: sums of C · K (or N · P) products, in the order of the matrix library. No limits: any stride, padding,
dilation, groups, number of spatial axes.

Legend: N batch, G groups, C in_channels and O out_channels of one group, X… input sizes, K… kernel sizes, P… output sizes; a
letter without dots stands for the product of its axes.

Source: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document processing".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.job import Job
from trainloop.manual.conv.layout import laid_out
from trainloop.manual.windows import Sizes, crop_spatial, num_positions, pad_spatial, scatter_windows, windows


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the convolution, in the input's memory format.

    Args:
        input: shape (N, G·C, X…).
        weight: shape (G·O, C, K…).
        bias: shape (G·O,), or None.
        stride: of the windows, for each spatial axis.
        padding: zeros on both sides, for each spatial axis.
        dilation: distance of the taps, for each spatial axis.
        groups: G.

    Returns:
        y, shape (N, G·O, P…).
    """
    kernel_size = tuple(weight.shape[2:])
    padded_sizes = tuple(size + 2 * pad for size, pad in zip(input.shape[2:], padding, strict=True))
    output_sizes = num_positions(padded_sizes, kernel_size, stride, dilation)
    columns = _columns(input, kernel_size, stride, padding, dilation, groups)
    product = torch.bmm(_weight_matrix(weight, groups), columns)
    output = laid_out(_from_matrix(product, (input.shape[0], weight.shape[0], *output_sizes)), input)
    return output if bias is None else output + bias.view(-1, *(1 for _axis in kernel_size))


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the gradient of the input, shape (N, G·C, X…), in grad_output's memory format.

    It is also the transposed convolution of ``grad_output``.

    Args:
        grad_output: shape (N, G·O, P…).
        weight: shape (G·O, C, K…).
        input_shape: (N, G·C, X…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        dilation: as in :func:`forward`.
        groups: as in :func:`forward`.
    """
    num_axes, kernel_size = len(stride), weight.shape[2:]
    product = torch.bmm(_weight_matrix(weight, groups).mT, _to_matrix(grad_output, groups))
    columns = product.reshape(input_shape[1], *kernel_size, input_shape[0], *grad_output.shape[2:])
    columns = columns.permute(*range(1, 2 + num_axes), 0, *range(2 + num_axes, 2 + 2 * num_axes))
    padded_sizes = tuple(size + 2 * pad for size, pad in zip(input_shape[2:], padding, strict=True))
    padded = scatter_windows(columns, padded_sizes, stride, dilation)
    return laid_out(crop_spatial(padded, padding, input_shape[2:]), grad_output)


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the gradient of the weight, shape (G·O, C, K…).

    Args:
        grad_output: shape (N, G·O, P…).
        input: shape (N, G·C, X…).
        weight_shape: (G·O, C, K…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        dilation: as in :func:`forward`.
        groups: as in :func:`forward`.
    """
    columns = _columns(input, tuple(weight_shape[2:]), stride, padding, dilation, groups)
    return torch.bmm(_to_matrix(grad_output, groups), columns.mT).reshape(weight_shape)


def grad_bias(grad_output: Tensor) -> Tensor:
    """Return the gradient of the bias, shape (G·O,), for ``grad_output`` of shape (N, G·O, P…)."""
    return grad_output.sum((0, *range(2, grad_output.dim())))


def _columns(input: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Tensor:
    """Return a copy of every window of ``input``: (N, G·C, X…) → (G, C·K, N·P)."""
    num_axes, num_channels = len(kernel_size), input.shape[1] // groups
    seen = windows(pad_spatial(input, padding), kernel_size, stride, dilation)
    positions = seen.shape[2 : 2 + num_axes]
    by_tap = seen.permute(1, *range(2 + num_axes, 2 + 2 * num_axes), 0, *range(2, 2 + num_axes))
    return by_tap.reshape(groups, num_channels * math.prod(kernel_size), input.shape[0] * math.prod(positions))


def _weight_matrix(weight: Tensor, groups: int) -> Tensor:
    """(G·O, C, K…) → (G, O, C·K)."""
    return weight.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


def _to_matrix(output: Tensor, groups: int) -> Tensor:
    """(N, G·O, P…) → (G, O, N·P)."""
    num, channels, *sizes = output.shape
    return output.transpose(0, 1).reshape(groups, channels // groups, num * math.prod(sizes))


def _from_matrix(product: Tensor, shape: Sizes) -> Tensor:
    """(G, O, N·P) → (N, G·O, P…), a view."""
    num, channels, *sizes = shape
    return product.reshape(channels, num, *sizes).transpose(0, 1)


def _workspace(job: Job, direction: str) -> int:
    """Return the bytes of the columns and of what is made of them."""
    del direction
    num, out_channels, height, width = job.output_shape
    rows = job.input_shape[1] * job.kernel_size[0] * job.kernel_size[1]
    return 2 * (rows + out_channels) * num * height * width * job.dtype.itemsize


IM2COL = Algorithm("im2col", forward, grad_input, grad_weight, workspace=_workspace)
