"""The readable form: Winograd's convolution in tensor operations; what the compiled form has to agree with.

Tiles of one size stand together, so an image falls into few rectangles (15 × 15 into four: 12 × 12, 12 × 3, 3 × 12, 3 × 3),
and each is one input transform, one matrix product per pair of points, one output transform. Blocks of images bound the
memory.

It runs wherever torch does, in float32 and float64. It moves V and M through memory once more than the compiled form, and
makes a copy of every window first.

Legend: N batch, C in_channels, O out_channels, H W input, P Q output, T U tiles along the axes, i j points, a b inputs of a
tile, p q its outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.conv.layout import laid_out
from trainloop.manual.conv.winograd.plan import tile_sizes
from trainloop.manual.conv.winograd.points import SUBSETS, TAPS, Matrix, transforms, weight_transform
from trainloop.manual.windows import Sizes, windows

BLOCK_BYTES = 32 << 20
"""windows, V and M of one block of images"""


class Run(NamedTuple):
    """Tiles of one size that stand side by side along an axis.

    Args:
        start: first output.
        size: outputs of a tile.
        tiles: how many.
    """

    start: int
    size: int
    tiles: int


def forward(input: Tensor, weight: Tensor, bias: Tensor | None, padding: Sizes) -> Tensor:
    """Return the convolution, shape (N, O, P, Q), in the input's memory format.

    Args:
        input: shape (N, C, H, W).
        weight: shape (O, C, 3, 3).
        bias: shape (O,), or None.
        padding: zeros on both sides; may be negative.
    """
    num, _, height, width = input.shape
    sizes = (height + 2 * padding[0] - TAPS + 1, width + 2 * padding[1] - TAPS + 1)
    y_NOPQ = input.new_empty((num, weight.shape[0], *sizes))
    g = _tensor(weight_transform(), weight)
    u_ijCO = torch.einsum("ik,jl,ockl->ijco", g, g, weight)
    for images in _blocks(input, sizes, weight.shape[0]):
        for rows, columns in _rectangles(sizes):
            v_ijTC = _input_points(input[images], rows, columns, padding)
            m_ijTO = torch.matmul(v_ijTC, u_ijCO[_points(rows)][:, _points(columns)])
            m = m_ijTO.reshape(*m_ijTO.shape[:2], -1, rows.tiles, columns.tiles, m_ijTO.shape[3])
            down, across = (_tensor(transforms(run.size).output, input) for run in (rows, columns))
            tiles = torch.einsum("qj,pjntuo->notpuq", across, torch.einsum("pi,ijntuo->pjntuo", down, m))
            place = y_NOPQ[images, :, _slice(rows), _slice(columns)]
            place.copy_(tiles.flatten(4).flatten(2, 3)[:, :, : place.shape[2], : place.shape[3]])
    if bias is not None:
        y_NOPQ += bias.view(-1, 1, 1)
    return laid_out(y_NOPQ, input)


def grad_input(grad_output: Tensor, weight: Tensor, padding: Sizes) -> Tensor:
    """Return grad_input (N, C, H, W): the convolution of grad_output with the flipped weight, channels exchanged.

    Args:
        grad_output: shape (N, O, P, Q).
        weight: shape (O, C, 3, 3).
        padding: of the forward convolution.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    return forward(grad_output, flipped, None, tuple(TAPS - 1 - pad for pad in padding))


def grad_weight(grad_output: Tensor, input: Tensor, padding: Sizes) -> Tensor:
    """Return grad_weight (O, C, 3, 3) = Gᵀ [Σ over tiles of (A dy Aᵀ) ⊙ (Bᵀ d B)] G.

    Args:
        grad_output: shape (N, O, P, Q).
        input: shape (N, C, H, W).
        padding: zeros on both sides.
    """
    sizes, (out_channels, channels) = tuple(grad_output.shape[2:]), (grad_output.shape[1], input.shape[1])
    g = _tensor(weight_transform(), input)
    s_ijCO = input.new_zeros((len(g), len(g), channels, out_channels))
    for images in _blocks(input, sizes, out_channels):
        for rows, columns in _rectangles(sizes):
            v_ijTC = _input_points(input[images], rows, columns, padding)
            z_ijTO = _grad_points(grad_output[images], rows, columns)
            i, j = torch.meshgrid(_points(rows), _points(columns), indexing="ij")
            s_ijCO[i, j] += torch.matmul(v_ijTC.mT, z_ijTO)
    return laid_out(torch.einsum("ik,jl,ijco->ockl", g, g, s_ijCO), input)


def workspace(num: int, channels: int, out_channels: int, sizes: Sizes, itemsize: int) -> int:
    """Return the most bytes beside arguments and result; (P, Q) are ``sizes``."""
    a_image = _floats_of_an_image(channels, out_channels, sizes) * itemsize
    block = max(1, min(num, BLOCK_BYTES // a_image)) * a_image if num else 0
    whole = num * max(channels, out_channels) * (sizes[0] + 4) * (sizes[1] + 4) * itemsize
    return 3 * block + 2 * 40 * channels * out_channels * itemsize + 2 * whole


def _input_points(input: Tensor, rows: Run, columns: Run, padding: Sizes) -> Tensor:
    """Return V = Bᵀ d B of the tiles of a rectangle, shape (points, points, N·T·U, C)."""
    reach = [run.size * run.tiles + TAPS - 1 for run in (rows, columns)]
    top, left = (run.start - pad for run, pad in zip((rows, columns), padding, strict=True))
    height, width = input.shape[2:]
    padded = F.pad(input, (-left, left + reach[1] - width, -top, top + reach[0] - height))
    tile = (rows.size + TAPS - 1, columns.size + TAPS - 1)
    d_NCTUab = windows(padded, tile, (rows.size, columns.size), (1, 1))
    down, across = (_tensor(transforms(run.size).input, input) for run in (rows, columns))
    return torch.einsum("jb,inctub->ijntuc", across, torch.einsum("ia,nctuab->inctub", down, d_NCTUab)).flatten(2, 4)


def _grad_points(grad_output: Tensor, rows: Run, columns: Run) -> Tensor:
    """Return Z = A dy Aᵀ of the tiles of a rectangle, shape (points, points, N·T·U, O)."""
    dy = grad_output[:, :, _slice(rows), _slice(columns)]
    beyond = (columns.size * columns.tiles - dy.shape[3], rows.size * rows.tiles - dy.shape[2])
    padded = F.pad(dy, (0, beyond[0], 0, beyond[1]))
    tiles = padded.reshape(*dy.shape[:2], rows.tiles, rows.size, columns.tiles, columns.size)
    down, across = (_tensor(transforms(run.size).output, dy) for run in (rows, columns))
    return torch.einsum("qj,inotuq->ijntuo", across, torch.einsum("pi,notpuq->inotuq", down, tiles)).flatten(2, 4)


def _rectangles(sizes: Sizes) -> Iterator[tuple[Run, Run]]:
    rows, columns = (_runs(size) for size in sizes)
    return ((row, column) for row in rows for column in columns)


def _runs(outputs: int) -> list[Run]:
    runs, start = [], 0
    for size, tiles in groupby(tile_sizes(outputs)):
        runs.append(Run(start, size, len(list(tiles))))
        start += runs[-1].size * runs[-1].tiles
    return runs


def _blocks(input: Tensor, sizes: Sizes, out_channels: int) -> Iterator[slice]:
    a_image = _floats_of_an_image(input.shape[1], out_channels, sizes) * input.element_size()
    step = max(1, BLOCK_BYTES // a_image)
    return (slice(first, first + step) for first in range(0, input.shape[0], step))


def _floats_of_an_image(channels: int, out_channels: int, sizes: Sizes) -> int:
    """Return the floats of windows, V and M (or Z) of an image; a tile has at most four times as many points as outputs."""
    points = sum(size + TAPS - 1 for size in tile_sizes(sizes[0])) * sum(
        size + TAPS - 1 for size in tile_sizes(sizes[1])
    )
    return max(1, points * (3 * channels + 2 * out_channels))


def _points(run: Run) -> Tensor:
    return torch.tensor(SUBSETS[run.size])


def _slice(run: Run) -> slice:
    return slice(run.start, run.start + run.size * run.tiles)


def _tensor(matrix: Matrix, like: Tensor) -> Tensor:
    return torch.tensor([[float(entry) for entry in row] for row in matrix], dtype=like.dtype, device=like.device)
