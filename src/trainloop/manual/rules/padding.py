"""Padding: a border of constants, or of the tensor's own elements.

Each mode reads every element of y from one place of x: y_i = x_{source(i)}, dimension by dimension, so grad_x_j is the sum of
the g_i with source(i) = j. A constant border has no source and its gradient is dropped.

Legend: x input, y output, g grad_output. ``pad`` lists (before, after) for the last dimension, then for the one before it, …
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved

KERNELS: dict[tuple[str, int], Callable[..., Any]] = {
    ("reflect", 1): torch.ops.aten.reflection_pad1d_backward,
    ("reflect", 2): torch.ops.aten.reflection_pad2d_backward,
    ("reflect", 3): torch.ops.aten.reflection_pad3d_backward,
    ("replicate", 1): torch.ops.aten.replication_pad1d_backward,
    ("replicate", 2): torch.ops.aten.replication_pad2d_backward,
    ("replicate", 3): torch.ops.aten.replication_pad3d_backward,
}
"""(mode, number of padded dimensions) → the library's backward kernel."""


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> tuple[Tensor, Saved]:
    """y = x with a border; saves the shape of x, pad and mode."""
    return F.pad(input, list(pad), mode, value), (input.shape, tuple(pad), mode)


def pad_vjp(grad_output: Tensor, shape: torch.Size, pad: tuple[int, ...], mode: str) -> Tensor:
    """grad_input = Σ of the g whose source it is, one dimension after the other."""
    if mode == "constant":
        return constant_pad_nd_vjp(grad_output, pad)
    if mode == "circular":
        return circular_vjp(grad_output, pad)
    for dim, (before, after) in by_dimension(pad):
        source = source_of(shape[dim], before, after, mode).to(grad_output.device)
        sizes = (*grad_output.shape[:dim], shape[dim], *grad_output.shape[dim:][1:])
        grad_output = grad_output.new_zeros(sizes).index_add_(dim, source, grad_output)
    return grad_output


def source_of(size: int, before: int, after: int, mode: str) -> Tensor:
    """Return source(i) for every element i of a padded dimension."""
    place = torch.arange(-before, size + after)
    if mode == "replicate":
        return place.clamp(0, size - 1)
    return size - 1 - (size - 1 - place.abs()).abs()


def by_dimension(pad: tuple[int, ...]) -> list[tuple[int, tuple[int, int]]]:
    """Return (dimension counted from the end, (before, after)) for each padded dimension."""
    return [(-1 - k, (pad[2 * k], pad[2 * k + 1])) for k in range(len(pad) // 2)]


def circular_vjp(grad_output: Tensor, pad: tuple[int, ...]) -> Tensor:
    """grad_input by undoing the forward's copies, the last first: what a border received goes to where it was read."""
    grad = grad_output.clone()
    for dim, (before, after) in reversed(by_dimension(pad)):
        left, right = max(before, 0), max(after, 0)
        end = grad.shape[dim] - right
        grad.narrow(dim, left, right).add_(grad.narrow(dim, end, right))
        grad.narrow(dim, end, right).zero_()
        grad.narrow(dim, end - left, left).add_(grad.narrow(dim, 0, left))
        grad.narrow(dim, 0, left).zero_()
    return constant_pad_nd_vjp(grad, pad)


def pad_aten(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> tuple[Tensor, Saved]:
    """y = x with a border; saves pad and mode, and x where the library's kernel asks for it."""
    kept = input if mode in ("reflect", "replicate") else input.shape
    return F.pad(input, list(pad), mode, value), (kept, tuple(pad), mode)


def pad_vjp_aten(grad_output: Tensor, kept: Any, pad: tuple[int, ...], mode: str) -> Tensor:
    """The same sums in one pass."""
    if not isinstance(kept, Tensor):
        return pad_vjp(grad_output, kept, pad, mode)
    grad_input: Tensor = KERNELS[mode, len(pad) // 2](grad_output, kept, pad)
    return grad_input


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> tuple[Tensor, Saved]:
    """y = x with a border of ``value``; saves pad."""
    return torch.constant_pad_nd(input, list(pad), value), (tuple(pad),)


def constant_pad_nd_vjp(grad_output: Tensor, pad: tuple[int, ...]) -> Tensor:
    """grad_input = g with the border cut off, which is a border of negative width; where y was cut, 0 is put back."""
    return torch.constant_pad_nd(grad_output, [-width for width in pad])


CONSTANT = (
    call(T(2, 3, 4), (1, 2)),
    call(T(2, 3, 4), (1, 0, 0, 2), value=-1.5),
    call(T(2, 3, 4), (-1, 1, 2, -1)),
    call(T(2, 3), (0, 0)),
    call(T(2, 2, 2, 2), (1, 1, 1, 1, 1, 1, 1, 1)),
)
MODES = tuple(
    call(x, border, mode=mode)
    for mode in ("reflect", "replicate", "circular")
    for x, border in (
        (T(2, 3, 4), (1, 2)),
        (T(2, 1, 4, 5), (2, 1, 3, 0)),
        (T(1, 2, 3, 4, 3), (1, 2, 2, 1, 1, 1)),
        (T(2, 1, 5, 5), (-1, 1, 2, -2)),
    )
)

PADDING: dict[str, Rule] = {
    "pad": Rule(
        "pad",
        functions=(F.pad,),
        forms={"formula": Form(pad, pad_vjp), "aten": Form(pad_aten, pad_vjp_aten, exact=True)},
        examples=(
            *CONSTANT,
            *MODES,
            call(T(3, 4), (2, 1), "reflect"),
            call(T(3, 4), (2, 5), "replicate"),
            call(T(3, 4, 5), (3, 3, 1, 1), "reflect"),
        ),
    ),
    "constant_pad_nd": Rule(
        "constant_pad_nd",
        functions=(torch.constant_pad_nd,),
        forms={"formula": Form(constant_pad_nd, constant_pad_nd_vjp, exact=True)},
        examples=CONSTANT,
    ),
}
