"""Transposed convolution as the transpose of a matrix: that of the convolution with the same weight, written out.

Replaces ``torch.conv_transpose2d`` and its gradients. The idea: a convolution is linear, so it is a matrix M, with one row for
each of its output elements and one column for each input element, and a weight where the row's window sees the column's
element. The transposed convolution is Mᵀ, which gave it its name. Which tap lies where does not depend on the weight: that is
a matrix of zeros and ones for each axis, and M is made of the weight and these.

    S[k, h, p] = 1 where p = h · stride + k · dilation − padding, else 0      (T[l, w, q] the same along the other axis)
    M[(c, h, w), (o, p, q)] = Σ_(k, l) weight[c, o, k, l] · S[k, h, p] · T[l, w, q]
    y = Mᵀ x  (+ bias);      grad_x = M g;      grad_M = x gᵀ, summed over the batch
    grad_weight[c, o, k, l] = Σ_(h, w, p, q) grad_M[(c, h, w), (o, p, q)] · S[k, h, p] · T[l, w, q]

Cost: N · C·H·W · O·P·Q multiplications in each direction, nearly all of them by zero, and L times as many as M has elements to
make M. Extra memory: M, twice. Limits: two spatial axes; M of all groups at most 256 MiB, which in float32 is a channel of
90 × 90 to one of 90 × 90. It is a specification, to be read and compared with, not to be trained with.

Numerical caveat: each output is a sum of C · H · W products in the order of the matrix library; most of them are zeros, which
round nothing, but an infinity in an image or in the weight makes NaN of all of them.

Legend: N batch, G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes, g
grad_output.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, section 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.manual.conv.job import GRAD_WEIGHT
from trainloop.manual.conv.layout import memory_format
from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob, transposed_sizes
from trainloop.manual.windows import Sizes

MOST_BYTES = 256 * 2**20
"""of the matrix of all groups"""


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
    """Return the transposed convolution, shape (N, G·O, P, Q), in the memory format of ``input``.

    Args:
        input: shape (N, G·C, H, W).
        weight: shape (G·C, O, K, L).
        bias: shape (G·O,), or None.
        stride: distance of the patches of two neighbours, for each axis.
        padding: how much is cut off the output on both sides, for each axis.
        output_padding: how much is added to the output at the end, for each axis.
        groups: G.
        dilation: distance of a patch's taps, for each axis.
    """
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    sizes = tuple(input.shape[2:])
    output_sizes = transposed_sizes(sizes, tuple(weight.shape[2:]), geometry)
    matrix = convolution_matrix(weight, sizes, geometry)
    rows = torch.bmm(_to_rows(input, groups), matrix)
    output = _to_images(rows, (input.shape[0], groups * weight.shape[1], *output_sizes), like=input)
    return output if bias is None else output + bias.view(-1, 1, 1)


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
    """Return the gradient of the input, shape (N, G·C, H, W), in the memory format of ``grad_output``.

    Args:
        grad_output: shape (N, G·O, P, Q).
        weight: shape (G·C, O, K, L).
        input_shape: (N, G·C, H, W).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    matrix = convolution_matrix(weight, tuple(input_shape[2:]), geometry)
    return _to_images(torch.bmm(_to_rows(grad_output, groups), matrix.mT), input_shape, like=grad_output)


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
    """Return the gradient of the weight, shape (G·C, O, K, L).

    Args:
        grad_output: shape (N, G·O, P, Q).
        input: shape (N, G·C, H, W).
        weight_shape: (G·C, O, K, L).
        stride: as in :func:`forward`.
        padding: as in :func:`forward`.
        output_padding: as in :func:`forward`.
        groups: as in :func:`forward`.
        dilation: as in :func:`forward`.
    """
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    vertical, horizontal = selections(tuple(input.shape[2:]), tuple(weight_shape[2:]), geometry, like=input)
    grad_matrix = torch.bmm(_to_rows(input, groups).mT, _to_rows(grad_output, groups))
    shape = (groups, weight_shape[0] // groups, *input.shape[2:], weight_shape[1], *grad_output.shape[2:])
    return torch.einsum("gchwopq,khp,lwq->gcokl", grad_matrix.view(shape), vertical, horizontal).reshape(weight_shape)


def convolution_matrix(weight: Tensor, sizes: Sizes, geometry: TransposedGeometry) -> Tensor:
    """Return the matrix of the convolution that ``geometry`` is the transpose of, one for each group.

    Args:
        weight: shape (G·C, O, K, L).
        sizes: (H, W), of the convolution's output and the transposed convolution's input.
        geometry: of the patches.

    Returns:
        Shape (G, C·H·W, O·P·Q); its transpose maps an input, read row by row, to the output.
    """
    channels, out_channels, *kernel_size = weight.shape
    output_sizes = transposed_sizes(sizes, tuple(kernel_size), geometry)
    vertical, horizontal = selections(sizes, tuple(kernel_size), geometry, like=weight)
    by_group = weight.reshape(geometry.groups, channels // geometry.groups, out_channels, *kernel_size)
    matrix = torch.einsum("gcokl,khp,lwq->gchwopq", by_group, vertical, horizontal)
    rows, columns = by_group.shape[1] * math.prod(sizes), out_channels * math.prod(output_sizes)
    return matrix.reshape(geometry.groups, rows, columns)


def selections(sizes: Sizes, kernel_size: Sizes, geometry: TransposedGeometry, *, like: Tensor) -> list[Tensor]:
    """Return S of each axis, shape (K, H, P): 1 where tap k of the patch of h lies on p, else 0.

    Args:
        sizes: (H, W).
        kernel_size: (K, L).
        geometry: of the patches.
        like: of the wanted dtype and device.
    """
    found = []
    output_sizes = transposed_sizes(sizes, kernel_size, geometry)
    numbers = zip(sizes, kernel_size, output_sizes, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    for size, kernel, output_size, s, padding, d in numbers:
        tap, position, reached = (torch.arange(n, device=like.device) for n in (kernel, size, output_size))
        found.append((position[:, None] * s + tap[:, None, None] * d - padding == reached).to(like.dtype))
    return found


def _to_rows(image: Tensor, groups: int) -> Tensor:
    """(N, G·C, H, W) → (G, N, C·H·W)."""
    num, channels, *sizes = image.shape
    return image.reshape(num, groups, channels // groups * math.prod(sizes)).transpose(0, 1)


def _to_images(rows: Tensor, shape: Sizes, *, like: Tensor) -> Tensor:
    """(G, N, C·H·W) → (N, G·C, H, W), in the memory format of ``like``."""
    return rows.transpose(0, 1).reshape(shape).contiguous(memory_format=memory_format(like))


def matrix_shape(job: TransposedJob) -> tuple[int, int, int]:
    """Return (G, C·H·W, O·P·Q)."""
    groups = job.geometry.groups
    columns = job.weight_shape[1] * math.prod(job.output_sizes)
    return groups, math.prod(job.input_shape[1:]) // groups, columns


def _matrix_bytes(job: TransposedJob) -> int:
    return math.prod(matrix_shape(job)) * job.dtype.itemsize


def _refuses(job: TransposedJob) -> str | None:
    if _matrix_bytes(job) <= MOST_BYTES:
        return None
    groups, rows, columns = matrix_shape(job)
    count = f"{groups} matrices" if groups > 1 else "a matrix"
    return (
        f"it would write out {count} of {rows:,} × {columns:,} elements, {-(-_matrix_bytes(job) // 2**20):,} MiB, and "
        f"{MOST_BYTES // 2**20} MiB are the most"
    )


def _workspace(job: TransposedJob, direction: str) -> int:
    """Return the bytes of the matrix in both orders of its axes, and of the images as rows."""
    del direction
    images = math.prod(job.input_shape) + math.prod(job.output_shape)
    return 2 * (_matrix_bytes(job) + images * job.dtype.itemsize)


def _multiplications(job: TransposedJob, direction: str) -> int:
    """Return those of the product with the matrix, and of what makes it of the weight or the weight's gradient of it."""
    groups, rows, columns = matrix_shape(job)
    return (job.input_shape[0] + job.kernel_size[direction == GRAD_WEIGHT]) * groups * rows * columns


MATRIX = TransposedAlgorithm(
    "matrix",
    forward,
    grad_input,
    grad_weight,
    workspace=_workspace,
    multiplications=_multiplications,
    refuses=_refuses,
)
