"""Convolution as one matrix product: write every window of the input as a row (im2col), multiply by the weight.

Replaces ``torch.conv1d``, ``conv2d`` and ``conv3d``, and their gradients. The idea: a convolution is a matrix product
whose one factor repeats each input element once per tap that sees it. Written out in memory, that factor turns all three
directions into products that a matrix library is fast at.

    columns[g, (n, p), (k, c)] = x[n, (g, c), p · stride + k · dilation − padding]
    y            [g, (n, p), o] = Σ_(k, c)  columns[g, (n, p), (k, c)] · weight[g, o, (k, c)]  (+ bias)
    grad_weight [g, o, (k, c)] = Σ_(n, p)  grad_output[g, (n, p), o] · columns[g, (n, p), (k, c)]
    grad_columns[g, (n, p), (k, c)] = Σ_o  grad_output[g, (n, p), o] · weight[g, o, (k, c)]
    grad_input = grad_columns, each added where it came from (col2im);   grad_bias[g, o] = Σ_(n, p) grad_output[g, (n, p), o]

Channels are innermost, whatever the memory format of the tensors: a window's row then is made of runs of C (often K · C)
elements, which copy fast, and the product comes out as channels_last has it. Tensors in the usual format are turned on
the way in and out.

Cost: N · P · G · O · C · K multiplications in each direction, taps on padding counted. Extra memory: the columns, K · P / X
times the input (9 times for 3 × 3 with stride 1), for a block of images: 5 MiB of them, or one image's if that is more. What
is written is multiplied while it is still in the cache. Nothing of it is saved, so the backward writes them out again. The
weight is copied, and grad_weight has a sum as large for each thread. Grouped convolutions become G small products; with one
channel a group (depthwise) these are matrix-vector products and slow.

Numerical caveat: sums of C · K products in the order of the matrix library; grad_weight adds the sums of blocks, those of
half types in float32, and of one group those of each thread, so that its last bits change with their number. No limits: any
stride, padding, dilation, groups, number of spatial axes.

Legend: N batch, G groups, C in_channels and O out_channels of one group, X… input sizes, K… kernel sizes, P… output sizes; a
letter without dots stands for the product of its axes.

Source: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document processing".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.blocks import blocks, images_a_block
from trainloop.manual.conv.job import GRAD_WEIGHT, Job
from trainloop.manual.conv.layout import laid_out, new_image
from trainloop.manual.windows import Sizes, crop_spatial, num_positions, pad_spatial, scatter_windows, windows

COLUMN_BYTES = 5 << 20
"""columns of a block of images; about what stays in a cache"""
HALF_TYPES = (torch.float16, torch.bfloat16)


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
    output = new_image((input.shape[0], weight.shape[0], *output_sizes), input)
    weight_GMO = _weight_matrix(weight, groups).mT
    for images in _blocks(input.shape[0], weight_GMO, output_sizes):
        columns = _columns(input[images], kernel_size, stride, padding, dilation, groups)
        output[images] = _from_matrix(torch.bmm(columns, weight_GMO), output_sizes)
        del columns  # else the next block's are written elsewhere, and this place leaves the cache
    # In place: a sum of its own would be a second output, and no blocks would bound it.
    return output if bias is None else output.add_(bias.view(-1, *(1 for _axis in kernel_size)))


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
    kernel_size, output_sizes = tuple(weight.shape[2:]), tuple(grad_output.shape[2:])
    padded_sizes = tuple(size + 2 * pad for size, pad in zip(input_shape[2:], padding, strict=True))
    result = new_image(tuple(input_shape), grad_output)
    weight_GOM = _weight_matrix(weight, groups)
    for images in _blocks(input_shape[0], weight_GOM, output_sizes):
        columns = torch.bmm(_to_matrix(grad_output[images], groups), weight_GOM)
        padded = scatter_windows(
            _by_tap(columns, kernel_size, output_sizes), padded_sizes, stride, dilation, channels_innermost=True
        )
        result[images] = crop_spatial(padded, padding, tuple(input_shape[2:]))
        del columns, padded
    return result


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the gradient of the weight, shape (G·O, C, K…), in the input's memory format.

    Args:
        grad_output: shape (N, G·O, P…).
        input: shape (N, G·C, X…).
        weight_shape: (G·O, C, K…).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        dilation: as in :func:`forward`.
        groups: as in :func:`forward`.
    """
    kernel_size, output_sizes = tuple(weight_shape[2:]), tuple(grad_output.shape[2:])
    total_TGOM = _zero_sums(input, weight_shape, groups)
    for images in _blocks(input.shape[0], total_TGOM[0], output_sizes):
        columns = _columns(input[images], kernel_size, stride, padding, dilation, groups)
        _add_products(total_TGOM, _to_matrix(grad_output[images], groups), columns)
        del columns
    taps_last = total_TGOM.sum(0).reshape(weight_shape[0], *kernel_size, weight_shape[1])
    return laid_out(taps_last.movedim(-1, 1).to(input.dtype), input)


def grad_bias(grad_output: Tensor) -> Tensor:
    """Return the gradient of the bias, shape (G·O,), for ``grad_output`` of shape (N, G·O, P…)."""
    return grad_output.sum((0, *range(2, grad_output.dim())))


def _blocks(num: int, weight_matrix: Tensor, output_sizes: Sizes) -> Iterator[slice]:
    """Return the blocks of images whose columns are multiplied together."""
    groups, one, other = weight_matrix.shape
    elements = groups * max(one, other) * math.prod(output_sizes)
    return blocks(num, images_a_block(num, elements * weight_matrix.element_size(), COLUMN_BYTES))


def _columns(input: Tensor, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Tensor:
    """Return a copy of every window of ``input``: (N, G·C, X…) → (G, N·P, K·C)."""
    innermost = pad_spatial(input, padding).movedim(1, -1).contiguous().movedim(-1, 1)
    seen = windows(innermost, kernel_size, stride, dilation)
    num, channels, *rest = seen.shape
    split = seen.reshape(num, groups, channels // groups, *rest)
    rows = split.permute(1, 0, *range(3, split.dim()), 2)
    return rows.reshape(groups, num * math.prod(rest[: len(kernel_size)]), -1)


def _by_tap(rows: Tensor, kernel_size: Sizes, output_sizes: Sizes) -> Tensor:
    """(G, N·P, K·C) → (K…, N, G·C, P…), of one group a view."""
    groups, positions, width = rows.shape
    num, channels = positions // math.prod(output_sizes), width // math.prod(kernel_size)
    split = rows.view(groups, num, *output_sizes, *kernel_size, channels)
    num_axes = len(kernel_size)
    taps, places = range(2 + num_axes, 2 + 2 * num_axes), range(2, 2 + num_axes)
    by_tap = split.permute(*taps, 1, *places, 0, split.dim() - 1)
    return by_tap.flatten(-2).movedim(-1, num_axes + 1)


def _zero_sums(input: Tensor, weight_shape: Sizes, groups: int) -> Tensor:
    """Return zeros for what :func:`_add_products` adds up, shape (T, G, O, K·C): T threads have a sum each where G is 1.

    The matrix library divides one long sum among threads by a rule of its own that, for some addresses, takes twice as long.
    """
    dtype = torch.float32 if input.dtype in HALF_TYPES else input.dtype
    shares = torch.get_num_threads() if groups == 1 else 1
    return input.new_zeros((shares, groups, weight_shape[0] // groups, math.prod(weight_shape[1:])), dtype=dtype)


def _add_products(total_TGOM: Tensor, dy_GRO: Tensor, columns_GRM: Tensor) -> None:
    """Add grad_output's matrix, transposed, times the columns: each share of the rows to a sum of its own."""
    shares = math.gcd(total_TGOM.shape[0], dy_GRO.shape[1])
    total, dy, columns = total_TGOM[:shares].flatten(0, 1), _shares(dy_GRO, shares).mT, _shares(columns_GRM, shares)
    if total.dtype == dy.dtype:
        total.baddbmm_(dy, columns)
    else:
        total += torch.bmm(dy, columns)


def _shares(rows: Tensor, shares: int) -> Tensor:
    """(G, N·P, M) → (T·G, N·P / T, M); a view where T or G is 1."""
    groups, positions, width = rows.shape
    return rows.reshape(groups, shares, positions // shares, width).transpose(0, 1).flatten(0, 1)


def _weight_matrix(weight: Tensor, groups: int) -> Tensor:
    """(G·O, C, K…) → (G, O, K·C)."""
    return weight.movedim(1, -1).reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


def _to_matrix(output: Tensor, groups: int) -> Tensor:
    """(N, G·O, P…) → (G, N·P, O); of one group in channels_last a view."""
    num, channels, *sizes = output.shape
    rows = output.movedim(1, -1).reshape(num * math.prod(sizes), groups, channels // groups)
    return rows.transpose(0, 1)


def _from_matrix(product: Tensor, output_sizes: Sizes) -> Tensor:
    """(G, N·P, O) → (N, G·O, P…); of one group a view."""
    groups, positions, channels = product.shape
    rows = product.transpose(0, 1).reshape(positions, groups * channels)
    return rows.view(positions // math.prod(output_sizes), *output_sizes, -1).movedim(-1, 1)


def _workspace(job: Job, direction: str) -> int:
    """Return the bytes of a block (columns and product, with copies for groups, and the padded images) and of the weights."""
    num, out_channels, height, width = job.output_shape
    taps = job.kernel_size[0] * job.kernel_size[1]
    columns = height * width * max(job.input_shape[1] * taps, out_channels)
    images = images_a_block(num, columns * job.dtype.itemsize, COLUMN_BYTES)
    padded = [size + 2 * pad for size, pad in zip(job.input_shape[2:], job.geometry.padding, strict=True)]
    block = 2 * columns + 2 * out_channels * height * width + 3 * job.input_shape[1] * math.prod(padded)
    return images * block * job.dtype.itemsize + _bytes_of_weights(job, direction)


def _bytes_of_weights(job: Job, direction: str) -> int:
    """Return the bytes of what is as large as the weight: copies, and the sums of grad_weight, one for each thread.

    What a half type adds to a sum is there twice: as the product, and in the type of the sum.
    """
    size, sums = max(job.dtype.itemsize, torch.float32.itemsize), torch.get_num_threads()
    if direction != GRAD_WEIGHT:
        return 3 * size * math.prod(job.weight_shape)
    added = job.dtype.itemsize + size if job.dtype in HALF_TYPES else 0
    return ((2 + sums) * size + sums * added) * math.prod(job.weight_shape)


IM2COL = Algorithm("im2col", forward, grad_input, grad_weight, workspace=_workspace)
