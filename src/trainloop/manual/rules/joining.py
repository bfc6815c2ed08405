"""Joining and splitting: cat, stack and their opposites; the vjp of one is the other.

Legend: x input, y output, g grad_output.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved

Sizes = tuple[int, ...]


def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> tuple[Tensor, Saved]:
    """y = the tensors one behind the other along ``dim``; saves dim and their sizes along it, None for a skipped one.

    Torch skips tensors of shape (0,) whatever the shape of the others.
    """
    dim = dim if axis is None else axis
    output = torch.cat(tuple(tensors), dim)
    sizes = tuple(None if x.shape == (0,) and output.dim() > 1 else x.shape[dim] for x in tensors)
    return output, (dim, sizes)


def cat_vjp(grad_output: Tensor, dim: int, sizes: tuple[int | None, ...]) -> tuple[Tensor, ...]:
    """grad_k = g from the place where x_k begins, as far as it reaches."""
    grads: list[Tensor] = []
    start = 0
    for size in sizes:
        grads.append(grad_output.new_zeros(0) if size is None else grad_output.narrow(dim, start, size))
        start += size or 0
    return tuple(grads)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> tuple[Tensor, Saved]:
    """y_k = x_k along a new dimension ``dim``; saves dim."""
    return torch.stack(tuple(tensors), dim), (dim,)


def stack_vjp(grad_output: Tensor, dim: int) -> tuple[Tensor, ...]:
    """grad_k = g_k."""
    return grad_output.unbind(dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[tuple[Tensor, ...], Saved]:
    """y_k = x at place k of ``dim``, for every k; saves dim and the shape of one."""
    return input.unbind(dim), (dim, (*input.shape[:dim], *input.shape[dim % input.dim() + 1 :]))


def unbind_vjp(grad_outputs: tuple[Tensor | None, ...], dim: int, shape: Sizes) -> Tensor:
    """grad_input = the g_k stacked, 0 for an output that nobody used."""
    used = next(grad for grad in grad_outputs if grad is not None)
    return torch.stack([used.new_zeros(shape) if grad is None else grad for grad in grad_outputs], dim)


def parted(parts: tuple[Tensor, ...], dim: int) -> tuple[tuple[Tensor, ...], Saved]:
    """Return the parts and what the vjp needs: dim and the shape of each."""
    return parts, (dim, tuple(part.shape for part in parts))


def split(tensor: Tensor, split_size_or_sections: int | list[int], dim: int = 0) -> tuple[tuple[Tensor, ...], Saved]:
    """y_k = consecutive pieces of x along ``dim``, of one size or of the sizes given."""
    return parted(tuple(torch.split(tensor, split_size_or_sections, dim)), dim)


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[tuple[Tensor, ...], Saved]:
    """y_k = consecutive pieces of x along ``dim``, of the sizes given."""
    return parted(tuple(input.split_with_sizes(split_sizes, dim)), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[tuple[Tensor, ...], Saved]:
    """y_k = at most ``chunks`` consecutive pieces of x along ``dim``, of one size but for the last."""
    return parted(tuple(input.chunk(chunks, dim)), dim)


def split_vjp(grad_outputs: tuple[Tensor | None, ...], dim: int, shapes: tuple[torch.Size, ...]) -> Tensor:
    """grad_input = the g_k one behind the other, 0 for an output that nobody used."""
    used = next(grad for grad in grad_outputs if grad is not None)
    pairs = zip(grad_outputs, shapes, strict=True)
    return torch.cat([used.new_zeros(shape) if grad is None else grad for grad, shape in pairs], dim)


def tensor_split(input: Tensor, indices_or_sections: Any = None, dim: int = 0, **keywords: Any) -> tuple[Tensor, ...]:
    """Cut before each index, or into so many sections whose sizes differ by at most 1."""
    given = keywords.get("indices", keywords.get("sections", indices_or_sections))
    size = input.size(dim)
    cuts = given.tolist() if isinstance(given, Tensor) else given
    if isinstance(cuts, int):
        if cuts <= 0:
            raise RuntimeError(f"tensor_split: number of sections must be larger than 0, got {cuts}")
        short, longer = divmod(size, cuts)
        cuts = [k * short + min(k, longer) for k in range(1, cuts)]
    places = [slice(start, stop).indices(size)[:2] for start, stop in pairwise([0, *cuts, size])]
    return tuple(input.narrow(dim, start, max(stop - start, 0)) for start, stop in places)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along dimension 1, vectors along their only one."""
    rows = [x.reshape(1) if x.dim() == 0 else x for x in tensors]
    return torch.cat(rows, 0 if rows[0].dim() == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along dimension 0; a vector is a row."""
    return torch.cat([x.reshape(1, -1) if x.dim() < 2 else x for x in tensors])


PAIR = [T(2, 3), T(2, 3)]

JOINING: dict[str, Rule | Composite] = {
    "cat": Rule(
        "cat",
        functions=(torch.cat, torch.concat, torch.concatenate),
        wrt=("tensors",),
        forms={"formula": Form(cat, cat_vjp, exact=True)},
        examples=(
            call([T(2, 3), T(4, 3), T(1, 3)]),
            call((T(2, 3, 2), T(2, 1, 2)), 1),
            call([T(2, 3), T(2, 0), T(0)], dim=-1),
            call([T(2, 3)]),
            call([T(2, 3), T(2, 3, constant=True)]),
            call([T(0), T(2)]),
        ),
    ),
    "stack": Rule(
        "stack",
        functions=(torch.stack,),
        wrt=("tensors",),
        forms={"formula": Form(stack, stack_vjp, exact=True)},
        examples=(call(PAIR), call(PAIR, dim=-1), call((T(), T()), 0), call([T(3), T(3, constant=True)])),
    ),
    "unbind": Rule(
        "unbind",
        functions=(torch.unbind, Tensor.unbind),
        forms={"formula": Form(unbind, unbind_vjp, exact=True)},
        examples=(call(T(3, 2)), call(T(2, 3, 4), dim=1), call(T(2, 3, 4), -1)),
    ),
    "split": Rule(
        "split",
        functions=(torch.functional.split, Tensor.split),
        wrt=("tensor",),
        forms={"formula": Form(split, split_vjp, exact=True)},
        examples=(call(T(5, 2), 2), call(T(2, 6), [1, 2, 3], dim=1), call(T(2, 4), 4, dim=-1), call(T(3, 2), [3, 0])),
    ),
    "split_with_sizes": Rule(
        "split_with_sizes",
        functions=(torch.split_with_sizes, Tensor.split_with_sizes),
        forms={"formula": Form(split_with_sizes, split_vjp, exact=True)},
        examples=(call(T(5, 2), [2, 3]), call(T(2, 6), [1, 2, 3], dim=1)),
    ),
    "chunk": Rule(
        "chunk",
        functions=(torch.chunk, Tensor.chunk),
        forms={"formula": Form(chunk, split_vjp, exact=True)},
        examples=(call(T(2, 6), 2, 1), call(T(5, 2), 3), call(T(2, 6, 3), chunks=4, dim=-2), call(T(2, 3), 1)),
    ),
    "tensor_split": Composite(
        "tensor_split",
        functions=(torch.tensor_split, Tensor.tensor_split),
        expand=tensor_split,
        examples=(call(T(7, 2), 3), call(T(2, 6), (1, -2), dim=1), call(T(5), (3, 1)), call(T(5, 2), indices=(2,))),
    ),
    "hstack": Composite("hstack", (torch.hstack,), hstack, (call(PAIR), call([T(2), T(3)]), call([T(), T()]))),
    "vstack": Composite(
        "vstack", (torch.vstack, torch.row_stack), vstack, (call(PAIR), call([T(3), T(2, 3)]), call([T(), T()]))
    ),
}
