"""Shapes: the same elements under another shape, in another order.

Nothing is computed here, so each vjp only brings the gradient of an element back to where the element came from. Most outputs
are views, as torch's are.

Legend: x input, y output, g grad_output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.refusals import getter
from trainloop.manual.rule import Composite, Form, Rule, Saved


def listed(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes or dims that a method takes one by one or as one list, ``x.permute(1, 0)`` or ``x.permute((1, 0))``."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else args


def wrapped(dim: int, rank: int) -> int:
    """Return ``dim`` counted from the front.

    Raises:
        IndexError: there is no such dimension.
    """
    rank = max(rank, 1)
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim % rank


# Another shape


def view(input: Tensor, *shape: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x under another shape; saves the shape of x."""
    dtype = keywords.get("dtype", shape[0] if shape else None)
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype != input.dtype:
        raise TypeError(f"view({dtype}) of a {input.dtype} tensor reads bits as other numbers, which has no gradient")
    return input.view(*shape, **keywords), (input.shape,)


def reshape(input: Tensor, *shape: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x under another shape, a copy if no view can show it; saves the shape of x."""
    return input.reshape(*shape, **keywords), (input.shape,)


def flatten(input: Tensor, *dims: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x with some dimensions laid flat; saves the shape of x."""
    return input.flatten(*dims, **keywords), (input.shape,)


def unflatten(input: Tensor, dim: Any, sizes: Any) -> tuple[Tensor, Saved]:
    """y = x with one dimension read as several; saves the shape of x."""
    return torch.unflatten(input, dim, sizes), (input.shape,)


def reshape_vjp(grad_output: Tensor, shape: torch.Size) -> Tensor:
    """grad_input = g under the shape of x."""
    return grad_output.reshape(shape)


def squeeze(input: Tensor, *dims: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y = x without (these) dimensions of size 1; saves which were dropped."""
    dim = keywords.get("dim", keywords.get("axis", dims[0] if dims else None))
    named = range(input.dim()) if dim is None else dim if isinstance(dim, (list, tuple)) else (dim,)
    wrapped = {d % input.dim() for d in named} if input.dim() else set()
    return input.squeeze(*dims, **keywords), (sorted(d for d in wrapped if input.shape[d] == 1),)


def squeeze_vjp(grad_output: Tensor, dropped: Sequence[int]) -> Tensor:
    """grad_input = g with the dropped dimensions put back."""
    for dim in dropped:
        grad_output = grad_output.unsqueeze(dim)
    return grad_output


def unsqueeze(input: Tensor, dim: int) -> tuple[Tensor, Saved]:
    """y = x with a dimension of size 1 at ``dim``; saves dim."""
    return input.unsqueeze(dim), (dim,)


def unsqueeze_vjp(grad_output: Tensor, dim: int) -> Tensor:
    """grad_input = g without that dimension."""
    return grad_output.squeeze(dim)


# Another order


def permute(input: Tensor, *dims: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y_{i_p(0) i_p(1) …} = x_{i_0 i_1 …}; saves the dims p."""
    order = listed(keywords.get("dims", dims))
    return input.permute(order), (order,)


def permute_vjp(grad_output: Tensor, order: tuple[int, ...]) -> Tensor:
    """grad_input = g permuted by the inverse of p, p⁻¹(p(k)) = k."""
    rank = len(order)
    inverse = sorted(range(rank), key=lambda position: order[position] % rank)
    return grad_output.permute(inverse)


def transpose(input: Tensor, dim0: Any, dim1: Any) -> tuple[Tensor, Saved]:
    """y = x with two dimensions exchanged; saves both."""
    return input.transpose(dim0, dim1), (dim0, dim1)


def transpose_vjp(grad_output: Tensor, dim0: int, dim1: int) -> Tensor:
    """grad_input = g with them exchanged back."""
    return grad_output.transpose(dim0, dim1)


def matrix_transpose(input: Tensor) -> Tensor:
    """Exchange the last two dimensions; torch asks for at least two."""
    return input.transpose(-2, -1)


def t(input: Tensor) -> Tensor:
    """Exchange the two dimensions of a matrix; a vector is its own transpose.

    Raises:
        RuntimeError: more than two dimensions.
    """
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with at most 2 dimensions, found shape {tuple(input.shape)}")
    return input.transpose(0, -1) if input.dim() else input.view(())


def reverse_dims(input: Tensor) -> Tensor:
    """Reverse the order of all dimensions: ``x.T``."""
    return input.permute(tuple(reversed(range(input.dim()))))


def movedim(input: Tensor, source: Any, destination: Any) -> tuple[Tensor, Saved]:
    """y = x with dimensions moved from source to destination, the others in their order; saves both."""
    return input.movedim(source, destination), (source, destination)


def movedim_vjp(grad_output: Tensor, source: Any, destination: Any) -> Tensor:
    """grad_input = g with them moved back."""
    return grad_output.movedim(destination, source)


def flip(input: Tensor, *dims: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """y_i = x_{n-1-i} along each of the dims; saves dims."""
    order = listed(keywords.get("dims", dims))
    return input.flip(order), (order,)


def flip_vjp(grad_output: Tensor, dims: tuple[int, ...]) -> Tensor:
    """grad_input = g flipped back."""
    return grad_output.flip(dims)


def roll(input: Tensor, shifts: Any, dims: Any = ()) -> tuple[Tensor, Saved]:
    """y_{(i + shift) mod n} = x_i along each of the dims; saves both."""
    shift_list, dim_list = listed((shifts,)), listed((dims,))
    return input.roll(shift_list, dim_list), (shift_list, dim_list)


def roll_vjp(grad_output: Tensor, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Tensor:
    """grad_input = g rolled back."""
    return grad_output.roll(tuple(-shift for shift in shifts), dims)


RESHAPES = (call(T(2, 6), (3, 4)), call(T(2, 3, 4), (-1,)), call(T(), (1, 1)), call(T(2, 0), (0, 5)))

SHAPE: dict[str, Rule | Composite] = {
    "view": Rule(
        "view",
        functions=(Tensor.view,),
        forms={"formula": Form(view, reshape_vjp, exact=True)},
        examples=(*RESHAPES, call(T(2, 6), 4, 3), call(T(2, 6), -1)),
    ),
    "reshape": Rule(
        "reshape",
        functions=(torch.reshape, Tensor.reshape),
        forms={"formula": Form(reshape, reshape_vjp, exact=True)},
        examples=RESHAPES,
        also={Tensor.reshape: (call(T(2, 6), 4, 3), call(T(2, 6), shape=(3, 4)))},
    ),
    "flatten": Rule(
        "flatten",
        functions=(torch.flatten, Tensor.flatten),
        forms={"formula": Form(flatten, reshape_vjp, exact=True)},
        examples=(call(T(2, 3, 4), 1), call(T(2, 3, 4), start_dim=0, end_dim=-2), call(T()), call(T(5))),
    ),
    "ravel": Composite(
        "ravel",
        functions=(torch.ravel, Tensor.ravel),
        expand=lambda input: input.reshape(-1),
        examples=(call(T(2, 3)), call(T())),
    ),
    "unflatten": Rule(
        "unflatten",
        functions=(torch.unflatten, Tensor.unflatten),
        forms={"formula": Form(unflatten, reshape_vjp, exact=True)},
        examples=(call(T(2, 6), 1, (2, 3)), call(T(6, 2), -2, (3, -1)), call(T(2, 6), dim=1, sizes=(3, 2))),
    ),
    "view_as": Composite(
        "view_as", (Tensor.view_as,), lambda input, other: input.view(other.shape), (call(T(2, 6), T(3, 4)),)
    ),
    "reshape_as": Composite(
        "reshape_as", (Tensor.reshape_as,), lambda input, other: input.reshape(other.shape), (call(T(2, 6), T(3, 4)),)
    ),
    "squeeze": Rule(
        "squeeze",
        functions=(torch.squeeze, Tensor.squeeze),
        forms={"formula": Form(squeeze, squeeze_vjp, exact=True)},
        examples=(
            call(T(2, 1, 3, 1)),
            call(T(2, 1, 3, 1), 1),
            call(T(2, 1, 3, 1), dim=-1),
            call(T(2, 1, 3), 0),
            call(T(1, 2, 1), (0, -1)),
            call(T(1)),
            call(T(), 0),
        ),
    ),
    "unsqueeze": Rule(
        "unsqueeze",
        functions=(torch.unsqueeze, Tensor.unsqueeze),
        forms={"formula": Form(unsqueeze, unsqueeze_vjp, exact=True)},
        examples=(call(T(2, 3), 1), call(T(2, 3), dim=-1), call(T(), 0)),
    ),
    "permute": Rule(
        "permute",
        functions=(torch.permute, Tensor.permute),
        forms={"formula": Form(permute, permute_vjp, exact=True)},
        examples=(call(T(2, 3, 4, 5), (0, 2, 3, 1)), call(T(2, 3, 4), dims=(-1, 0, -2)), call(T(), ())),
        also={Tensor.permute: (call(T(2, 3, 4), 2, 0, 1),)},
    ),
    "transpose": Rule(
        "transpose",
        functions=(
            torch.transpose,
            Tensor.transpose,
            torch.swapaxes,
            Tensor.swapaxes,
            torch.swapdims,
            Tensor.swapdims,
        ),
        forms={"formula": Form(transpose, transpose_vjp, exact=True)},
        examples=(call(T(2, 3, 4), 0, 2), call(T(2, 3, 4), -1, 1), call(T(), 0, -1)),
    ),
    "mT": Composite(
        "mT",
        functions=(getter("mT"), getter("mH"), torch.adjoint, Tensor.adjoint),
        expand=matrix_transpose,
        examples=(call(T(2, 3)), call(T(4, 2, 3))),
    ),
    "t": Composite("t", (torch.t, Tensor.t), t, (call(T(2, 3)), call(T(3)), call(T()))),
    "T": Composite("T", (getter("T"), getter("H")), reverse_dims, (call(T(2, 3)),)),
    "movedim": Rule(
        "movedim",
        functions=(torch.movedim, Tensor.movedim, torch.moveaxis, Tensor.moveaxis),
        forms={"formula": Form(movedim, movedim_vjp, exact=True)},
        examples=(call(T(2, 3, 4), 0, -1), call(T(2, 3, 4, 5), (0, 1), (-1, 1))),
    ),
    "flip": Rule(
        "flip",
        functions=(torch.flip, Tensor.flip),
        forms={"formula": Form(flip, flip_vjp, exact=True)},
        examples=(call(T(2, 3, 4), (0, -1)), call(T(2, 3), dims=(1,))),
        also={Tensor.flip: (call(T(2, 3, 4), 1, 2),)},
    ),
    "fliplr": Composite("fliplr", (torch.fliplr, Tensor.fliplr), lambda input: input.flip(1), (call(T(2, 3)),)),
    "flipud": Composite("flipud", (torch.flipud, Tensor.flipud), lambda input: input.flip(0), (call(T(2, 3)),)),
    "roll": Rule(
        "roll",
        functions=(torch.roll, Tensor.roll),
        forms={"formula": Form(roll, roll_vjp, exact=True)},
        examples=(
            call(T(2, 3, 4), 1, 2),
            call(T(2, 5, 4), shifts=(-3, 2), dims=(1, -1)),
            call(T(2, 3), 2),
            call(T(2, 3), 1, dims=0),
        ),
    ),
}
