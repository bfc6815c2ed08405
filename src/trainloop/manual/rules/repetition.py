"""Repetition: the same element several times, without a copy (expand) or with one (repeat).

Legend: x input, y output, g grad_output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.examples import Index, T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.shape import listed, wrapped


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that tensors of these shapes broadcast to."""
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def expand(input: Tensor, *sizes: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x seen again and again along its dimensions of size 1, without a copy; saves nothing."""
    return input.expand(*sizes, **keywords), ()


def expand_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = Σ g over the expanded dimensions; the tape sums, as it does wherever an input was broadcast."""
    return grad_output


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Expand all to the shape that they broadcast to."""
    shape = common_shape(*(x.shape for x in tensors))
    return tuple(x.expand(shape) for x in tensors)


def repeat(input: Tensor, *repeats: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x laid side by side ``repeats[d]`` times along dimension d; saves repeats and the shape of x."""
    times = listed(keywords.get("repeats", repeats))
    return input.repeat(times), (times, input.shape)


def repeat_vjp(grad_output: Tensor, repeats: tuple[int, ...], shape: torch.Size) -> Tensor:
    """grad_input = Σ g over the copies: each repeated dimension is read as (repeat, size), and repeat is summed."""
    if 0 in repeats:
        return grad_output.new_zeros(shape)
    for _ in range(len(repeats) - len(shape)):
        grad_output = grad_output.sum(0)
    sizes: list[int] = []
    copies: list[int] = []
    for times, size in zip(repeats[len(repeats) - len(shape) :], shape, strict=True):
        if times != 1:
            copies.append(len(sizes))
            sizes.append(times)
        sizes.append(size)
    return grad_output.reshape(sizes).sum(copies) if copies else grad_output


def tile(input: Tensor, *dims: Any, **keywords: Any) -> Tensor:
    """Repeat, with 1 for the leading dimensions that ``dims`` does not name."""
    times = listed(keywords.get("dims", dims))
    return input.repeat((1,) * (input.dim() - len(times)) + times)


def repeat_interleave(
    input: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Use each element ``repeats`` times in a row: y_{k·repeats + j} = x_k."""
    x = input.flatten() if dim is None else input
    dim = wrapped(dim or 0, x.dim())
    if isinstance(repeats, Tensor):
        times = repeats.expand(x.shape[dim]) if repeats.numel() == 1 else repeats
        return x.index_select(dim, torch.repeat_interleave(times, output_size=output_size))
    sizes = (*x.shape[: dim + 1], repeats, *x.shape[dim + 1 :])
    return x.unsqueeze(dim + 1).expand(sizes).clone(memory_format=torch.contiguous_format).flatten(dim, dim + 1)


REPETITION: dict[str, Rule | Composite] = {
    "expand": Rule(
        "expand",
        functions=(Tensor.expand, Tensor.broadcast_to),
        forms={"formula": Form(expand, expand_vjp, exact=True)},
        examples=(call(T(3, 1), (2, 3, 4)), call(T(1, 3), (-1, 3)), call(T(), (2, 2)), call(T(1), (0,))),
        also={Tensor.expand: (call(T(3, 1), 3, 4),)},
    ),
    "broadcast_to": Composite(
        "broadcast_to",
        functions=(torch.broadcast_to,),
        expand=lambda input, size: input.expand(size),
        examples=(call(T(3, 1), (2, 3, 4)), call(T(3, 1), size=(3, 4))),
    ),
    "expand_as": Composite(
        "expand_as", (Tensor.expand_as,), lambda input, other: input.expand(other.shape), (call(T(3, 1), T(2, 3, 4)),)
    ),
    "broadcast_tensors": Composite(
        "broadcast_tensors",
        functions=(torch.functional.broadcast_tensors,),
        expand=broadcast_tensors,
        examples=(call(T(3, 1), T(2, 1, 4)), call(T(3), T())),
    ),
    "repeat": Rule(
        "repeat",
        functions=(Tensor.repeat,),
        forms={"formula": Form(repeat, repeat_vjp, exact=True)},
        examples=(
            call(T(2, 3), (2, 3)),
            call(T(2, 3), 3, 2, 1, 2),
            call(T(2, 3), 1, 1),
            call(T(), 4),
            call(T(2, 3), 0, 1),
        ),
    ),
    "tile": Composite(
        "tile",
        functions=(torch.tile, Tensor.tile),
        expand=tile,
        examples=(call(T(2, 3), (2,)), call(T(2, 3), dims=(2, 1, 3))),
        also={Tensor.tile: (call(T(2, 3), 2, 2),)},
    ),
    "repeat_interleave": Composite(
        "repeat_interleave",
        functions=(torch.repeat_interleave, Tensor.repeat_interleave),
        expand=repeat_interleave,
        examples=(
            call(T(2, 3), 2),
            call(T(2, 3), 3, dim=1),
            call(T(2, 3), 2, -2),
            call(T(2, 3), Index(3, below=3), 1),
        ),
    ),
}
