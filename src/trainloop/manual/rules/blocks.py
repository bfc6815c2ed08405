"""Blocks: windows laid out as columns and added up again, pixels and channels reordered block by block.

All are linear and each vjp is the adjoint: unfold and fold undo each other's layout, pixel_shuffle and pixel_unshuffle too.

Legend: N batch, C channels, H W input, K L kernel, P Q window positions, g grad_output.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved
from trainloop.manual.windows import Sizes, crop_spatial, pad_spatial, per_axis, scatter_windows, windows

Two = int | Sizes
"""One number for both axes, or one for each."""

Geometry = tuple[Sizes, Sizes, Sizes, Sizes]
"""kernel_size, dilation, padding, stride, each for two axes."""


def geometry(kernel_size: Two, dilation: Two, padding: Two, stride: Two) -> Geometry:
    """Return each argument as one number per axis."""
    return per_axis(kernel_size, 2), per_axis(dilation, 2), per_axis(padding, 2), per_axis(stride, 2)


def unfold(
    input: Tensor,
    kernel_size: Two,
    dilation: Two = 1,
    padding: Two = 0,
    stride: Two = 1,
) -> tuple[Tensor, Saved]:
    """y = every window of x (N, C, H, W) as a column, (N, C·K·L, P·Q); saves H, W and the geometry."""
    output = F.unfold(input, kernel_size, dilation, padding, stride)
    return output, (tuple(input.shape[-2:]), geometry(kernel_size, dilation, padding, stride))


def unfold_vjp(grad_output: Tensor, sizes: Sizes, geometry: Geometry) -> Tensor:
    """grad_input = the windows of g added up where they came from."""
    kernel_size, dilation, padding, stride = geometry
    padded = tuple(size + 2 * amount for size, amount in zip(sizes, padding, strict=True))
    positions = tuple(
        (size - d * (k - 1) - 1) // s + 1 for size, k, d, s in zip(padded, kernel_size, dilation, stride, strict=True)
    )
    batch = grad_output if grad_output.dim() == 3 else grad_output.unsqueeze(0)
    columns_NCKLPQ = batch.reshape(batch.shape[0], -1, *kernel_size, *positions)
    total = scatter_windows(columns_NCKLPQ.permute(2, 3, 0, 1, 4, 5), padded, stride, dilation)
    return crop_spatial(total, padding, sizes).reshape(*grad_output.shape[:-2], -1, *sizes)


def unfold_vjp_aten(grad_output: Tensor, sizes: Sizes, geometry: Geometry) -> Tensor:
    """The same by the library's kernel."""
    grad_input: Tensor = torch.ops.aten.col2im(grad_output, sizes, *geometry)
    return grad_input


def fold(
    input: Tensor,
    output_size: Two,
    kernel_size: Two,
    dilation: Two = 1,
    padding: Two = 0,
    stride: Two = 1,
) -> tuple[Tensor, Saved]:
    """y = columns (N, C·K·L, P·Q) added up where :func:`unfold` would have read them, (N, C, H, W); saves the geometry."""
    output = F.fold(input, output_size, kernel_size, dilation, padding, stride)
    return output, (geometry(kernel_size, dilation, padding, stride),)


def fold_vjp(grad_output: Tensor, geometry: Geometry) -> Tensor:
    """grad_input = every window of g as a column."""
    kernel_size, dilation, padding, stride = geometry
    batch = grad_output if grad_output.dim() == 4 else grad_output.unsqueeze(0)
    seen_NCPQKL = windows(pad_spatial(batch, padding), kernel_size, stride, dilation)
    columns = seen_NCPQKL.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)
    return columns if grad_output.dim() == 4 else columns.squeeze(0)


def fold_vjp_aten(grad_output: Tensor, geometry: Geometry) -> Tensor:
    """The same by the library's kernel."""
    grad_input: Tensor = torch.ops.aten.im2col(grad_output, *geometry)
    return grad_input


def unfold_dim(input: Tensor, dimension: int, size: int, step: int) -> tuple[Tensor, Saved]:
    """y_{…p…k} = x_{…(p · step + k)…}: the windows along one dimension, as a view; saves the shape of x and the arguments."""
    return input.unfold(dimension, size, step), (input.shape, dimension, size, step)


def unfold_dim_vjp(grad_output: Tensor, shape: torch.Size, dimension: int, size: int, step: int) -> Tensor:
    """grad_input_i = Σ g_{pk} over p · step + k = i, tap by tap, the last first: in the order of the positions p."""
    grad_input = grad_output.new_zeros(shape)
    before = (slice(None),) * (dimension % len(shape))
    reach = step * (grad_output.shape[dimension % len(shape)] - 1) + 1
    for k in range(size - 1, -1, -1):
        grad_input[(*before, slice(k, k + reach, step))] += grad_output[..., k]
    return grad_input


def unfold_dim_vjp_aten(grad_output: Tensor, shape: torch.Size, dimension: int, size: int, step: int) -> Tensor:
    """The same by the library's kernel."""
    grad_input: Tensor = torch.ops.aten.unfold_backward(grad_output, shape, dimension, size, step)
    return grad_input


def pixel_shuffle(input: Tensor, upscale_factor: int) -> tuple[Tensor, Saved]:
    """y (C, H·r, W·r) from x (C·r², H, W): r² channels become an r × r block of pixels; saves r. Source: Shi et al. 2016."""
    return F.pixel_shuffle(input, upscale_factor), (upscale_factor,)


def pixel_shuffle_vjp(grad_output: Tensor, factor: int) -> Tensor:
    """grad_input = the blocks of g as channels again."""
    return F.pixel_unshuffle(grad_output, factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> tuple[Tensor, Saved]:
    """y (C·r², H, W) from x (C, H·r, W·r): an r × r block of pixels becomes r² channels; saves r."""
    return F.pixel_unshuffle(input, downscale_factor), (downscale_factor,)


def pixel_unshuffle_vjp(grad_output: Tensor, factor: int) -> Tensor:
    """grad_input = the channels of g as blocks again."""
    return F.pixel_shuffle(grad_output, factor)


def channel_shuffle(input: Tensor, groups: int) -> tuple[Tensor, Saved]:
    """y = x with channels read as a matrix (groups, C / groups) and transposed; saves C / groups. Source: Zhang et al. 2017."""
    return F.channel_shuffle(input, groups), (input.shape[1] // groups,)


def channel_shuffle_vjp(grad_output: Tensor, groups: int) -> Tensor:
    """grad_input = g transposed back: shuffled with C / groups groups."""
    return F.channel_shuffle(grad_output, groups)


BLOCKS: dict[str, Rule] = {
    "unfold": Rule(
        "unfold",
        functions=(F.unfold,),
        forms={"formula": Form(unfold, unfold_vjp), "aten": Form(unfold, unfold_vjp_aten, exact=True)},
        examples=(
            call(T(2, 3, 5, 6), 3),
            call(T(1, 2, 6, 5), (2, 3), dilation=2, padding=(1, 2), stride=(1, 2)),
            call(T(2, 5, 5), 2, stride=2),
        ),
    ),
    "fold": Rule(
        "fold",
        functions=(F.fold,),
        forms={"formula": Form(fold, fold_vjp, exact=True), "aten": Form(fold, fold_vjp_aten, exact=True)},
        examples=(
            call(T(2, 18, 12), (5, 6), 3, padding=0),
            call(T(1, 12, 18), (6, 5), (2, 3), dilation=2, padding=(1, 2), stride=(1, 2)),
            call(T(8, 4), 5, 2, stride=2),
        ),
    ),
    "unfold_dim": Rule(
        "unfold_dim",
        functions=(Tensor.unfold,),
        forms={
            "formula": Form(unfold_dim, unfold_dim_vjp, exact=True),
            "aten": Form(unfold_dim, unfold_dim_vjp_aten, exact=True),
        },
        examples=(call(T(7), 0, 3, 1), call(T(2, 8, 3), 1, 4, 2), call(T(2, 8), -1, 2, 3)),
    ),
    "pixel_shuffle": Rule(
        "pixel_shuffle",
        functions=(F.pixel_shuffle,),
        forms={"formula": Form(pixel_shuffle, pixel_shuffle_vjp, exact=True)},
        examples=(call(T(2, 8, 3, 2), 2), call(T(9, 2, 2), 3)),
    ),
    "pixel_unshuffle": Rule(
        "pixel_unshuffle",
        functions=(F.pixel_unshuffle,),
        forms={"formula": Form(pixel_unshuffle, pixel_unshuffle_vjp, exact=True)},
        examples=(call(T(2, 2, 6, 4), 2), call(T(1, 3, 3), 3)),
    ),
    "channel_shuffle": Rule(
        "channel_shuffle",
        functions=(F.channel_shuffle,),
        forms={"formula": Form(channel_shuffle, channel_shuffle_vjp, exact=True)},
        examples=(call(T(2, 6, 2, 3), 2), call(T(2, 6, 2, 3), 3), call(T(2, 4, 3), 4)),
    ),
}
