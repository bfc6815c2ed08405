"""Overwriting: some or all elements of a tensor replaced, or added to, at given places.

What was overwritten receives no gradient, and what overwrote it receives the gradient of its place.

Legend: x input, s source or value, y output, g grad_output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainloop.manual.errors import RefusedError
from trainloop.manual.examples import Index, Mask, T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.rules.indexing import tensors_in

Pair = tuple[Tensor | None, Tensor | None]


def target(input: Tensor, inplace: bool) -> Tensor:
    """Return the tensor to write into: x itself, or a copy of it."""
    return input if inplace else input.clone()


def copy(input: Tensor, src: Tensor, non_blocking: bool = False, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = s in the shape and dtype of x; saves nothing."""
    return target(input, inplace).copy_(src, non_blocking), ()


def fill(input: Tensor, value: Tensor | float, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = s everywhere; saves nothing."""
    return target(input, inplace).fill_(value), ()


def copy_vjp(grad_output: Tensor, *, needs: Needs) -> Pair:
    """grad_x = 0, grad_s = g; the tape sums it where s was broadcast."""
    return torch.zeros_like(grad_output) if needs[0] else None, grad_output


def zero(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = 0 in the shape of x; saves nothing."""
    return target(input, inplace).zero_(), ()


def zero_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = 0."""
    return torch.zeros_like(grad_output)


def setitem(input: Tensor, index: Any, value: Any, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x with x[index] = s; saves the index and the rank of s."""
    rank = value.dim() if isinstance(value, Tensor) else 0
    output = target(input, inplace)
    output[index] = value
    return output, (index, rank, *tensors_in(index))


def setitem_vjp(grad_output: Tensor, index: Any, rank: int, *_tensors: Tensor, needs: Needs) -> Pair:
    """grad_x = g with 0 at the index, grad_s = g[index]."""
    grad_value = grad_output[index] if needs[1] else None
    if grad_value is not None and rank > grad_value.dim():
        # Torch drops leading dimensions of size 1 that the place does not have.
        grad_value = grad_value.reshape((1,) * (rank - grad_value.dim()) + grad_value.shape)
    return without(grad_output, index) if needs[0] else None, grad_value


def without(grad_output: Tensor, index: Any) -> Tensor:
    """Return g with 0 at the index."""
    grad = grad_output.clone()
    grad[index] = 0
    return grad


def index_put(
    input: Tensor, indices: Any, values: Tensor, accumulate: bool = False, *, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = x with x[indices] = s, or += s; saves indices and accumulate."""
    function = Tensor.index_put_ if inplace else torch.index_put
    return function(input, tuple(indices), values, accumulate), (tuple(indices), accumulate, *indices)


def index_put_vjp(grad_output: Tensor, indices: Any, accumulate: bool, *_tensors: Tensor, needs: Needs) -> Pair:
    """grad_x = g, with 0 at the indices unless s was added; grad_s = g[indices]."""
    grad_input = grad_output if accumulate or not needs[0] else without(grad_output, indices)
    return grad_input, grad_output[indices] if needs[1] else None


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | float | None = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
    inplace: bool = False,
) -> tuple[Tensor, Saved]:
    """y_{…index[…k…]…} = s_{…k…} along ``dim``, the rest of x as it was; saves dim and index.

    Raises:
        RefusedError: ``reduce`` is given, for which torch has no gradient either.
    """
    if reduce is not None:
        raise RefusedError(f"scatter with reduce={reduce!r} has no gradient, in torch neither; use scatter_add")
    function: Any = Tensor.scatter_ if inplace else torch.scatter
    return function(input, dim, index, value if src is None else src), (dim, index)


def scatter_vjp(grad_output: Tensor, dim: int, index: Tensor, *, needs: Needs) -> Pair:
    """grad_x = g with 0 at the index, grad_s_{…k…} = g_{…index[…k…]…}."""
    grad_input = grad_output.scatter(dim, index, 0) if needs[0] else None
    return grad_input, grad_output.gather(dim, index) if needs[1] else None


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y_{…index[…k…]…} = x + Σ s_{…k…} along ``dim``; saves dim and index."""
    function = Tensor.scatter_add_ if inplace else torch.scatter_add
    return function(input, dim, index, src), (dim, index)


def scatter_add_vjp(grad_output: Tensor, dim: int, index: Tensor, *, needs: Needs) -> Pair:
    """grad_x = g, grad_s_{…k…} = g_{…index[…k…]…}."""
    return grad_output, grad_output.gather(dim, index) if needs[1] else None


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y_{index[k]} = x + α · Σ s_k along ``dim``; saves dim, index and alpha."""
    function = Tensor.index_add_ if inplace else torch.index_add
    return function(input, dim, index, source, alpha=alpha), (dim, index, alpha)


def index_add_vjp(grad_output: Tensor, dim: int, index: Tensor, alpha: float, *, needs: Needs) -> Pair:
    """grad_x = g, grad_s_k = α · g_{index[k]}."""
    if not needs[1]:
        return grad_output, None
    grad_source = grad_output.index_select(dim, index)
    return grad_output, grad_source if alpha == 1 else grad_source * alpha


def index_copy(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y_{index[k]} = s_k along ``dim``, the rest of x as it was; saves dim and index."""
    function = Tensor.index_copy_ if inplace else torch.index_copy
    return function(input, dim, index, source), (dim, index)


def index_copy_vjp(grad_output: Tensor, dim: int, index: Tensor, *, needs: Needs) -> Pair:
    """grad_x = g with 0 at the index, grad_s_k = g_{index[k]}."""
    grad_input = grad_output.index_fill(dim, index, 0) if needs[0] else None
    return grad_input, grad_output.index_select(dim, index) if needs[1] else None


ALL = slice(None)
TWICE = Index(4, below=3)
BOTH = ("input", "src")

OVERWRITING: dict[str, Rule] = {
    "copy_": Rule(
        "copy_",
        functions=(),
        inplace=(Tensor.copy_,),
        wrt=BOTH,
        forms={"formula": Form(copy, copy_vjp, exact=True)},
        examples=(call(T(2, 3), T(2, 3)), call(T(2, 3), T(1, 3)), call(T(2, 3, constant=True), T(2, 1))),
    ),
    "fill": Rule(
        "fill",
        functions=(torch.fill,),
        inplace=(torch.fill_, Tensor.fill_),
        wrt=("input", "value"),
        forms={"formula": Form(fill, copy_vjp, exact=True)},
        examples=(call(T(2, 3), 1.5), call(T(2, 3), T())),
    ),
    "zero_": Rule(
        "zero_",
        functions=(),
        inplace=(torch.zero_, Tensor.zero_),
        forms={"formula": Form(zero, zero_vjp, exact=True)},
        examples=(call(T(2, 3)),),
    ),
    "setitem": Rule(
        "setitem",
        functions=(),
        inplace=(Tensor.__setitem__,),
        wrt=("input", "value"),
        forms={"formula": Form(setitem, setitem_vjp, exact=True)},
        examples=(
            call(T(3, 4), 1, 2.5),
            call(T(3, 4), 1, T(4)),
            call(T(3, 4), (ALL, slice(1, 3)), T(3, 1)),
            call(T(3, 4), (..., 0), T(1, 1, 3)),
            call(T(3, 4, constant=True), slice(0, 2), T(2, 4)),
            call(T(3, 4), ..., T()),
            call(T(3, 4), Mask(3, 4), 0),
            call(T(3, 4), (Mask(3), ALL), T(4)),
            call(T(4, 3), [2, 0], T(2, 3)),
            call(T(4, 3), (Index(1, below=4), slice(1, None)), T(2)),
            call(T(3, 4), (ALL, [1, 3]), T(3, 2)),
        ),
    ),
    "index_put": Rule(
        "index_put",
        functions=(torch.index_put, Tensor.index_put),
        inplace=(torch.index_put_, Tensor.index_put_),
        wrt=("input", "values"),
        forms={"formula": Form(index_put, index_put_vjp, exact=True)},
        examples=(
            call(T(3, 4), (TWICE,), T(4, 4), accumulate=True),
            call(T(3, 4), (TWICE, Index(4, below=4)), T(), True),
            call(T(3, 4), [Mask(3)], T(4)),
        ),
    ),
    "scatter": Rule(
        "scatter",
        functions=(torch.scatter, Tensor.scatter),
        inplace=(Tensor.scatter_,),
        wrt=BOTH,
        forms={"formula": Form(scatter, scatter_vjp, exact=True)},
        examples=(
            call(T(3, 4), 1, Index(3, 1, below=4), T(3, 1)),
            call(T(3, 4), 0, Index(2, 4, below=3), 1.5),
            call(T(3, 4), -1, Index(3, 2, below=4), value=0.5),
        ),
    ),
    "scatter_add": Rule(
        "scatter_add",
        functions=(torch.scatter_add, Tensor.scatter_add),
        inplace=(Tensor.scatter_add_,),
        wrt=BOTH,
        forms={"formula": Form(scatter_add, scatter_add_vjp, exact=True)},
        examples=(call(T(3, 4), 1, Index(3, 6, below=4), T(3, 6)), call(T(3, 4), 0, Index(5, 2, below=3), T(5, 2))),
    ),
    "index_add": Rule(
        "index_add",
        functions=(torch.index_add, Tensor.index_add),
        inplace=(Tensor.index_add_,),
        wrt=("input", "source"),
        forms={"formula": Form(index_add, index_add_vjp, exact=True)},
        examples=(call(T(3, 2), 0, TWICE, T(4, 2)), call(T(2, 3), -1, TWICE, T(2, 4), alpha=-0.5)),
    ),
    "index_copy": Rule(
        "index_copy",
        functions=(torch.index_copy, Tensor.index_copy),
        inplace=(Tensor.index_copy_,),
        wrt=("input", "source"),
        forms={"formula": Form(index_copy, index_copy_vjp, exact=True)},
        examples=(call(T(3, 2), 0, Index(1, below=3), T(1, 2)), call(T(2, 3), -1, Index(1, below=3), T(2, 1))),
    ),
}
