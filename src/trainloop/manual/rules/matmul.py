"""Products of tensors of any rank, carried out as torch does: as products of two matrices, or of a batch of pairs.

``matmul`` folds its larger factor into one matrix if the other is a matrix or a vector,

    (…, N, K) (K, M) = rows (R, K) times (K, M), R = … · N        (N, K) (…, K, M) = ((…, M, K) (K, N))ᵀ

so that the gradient of the smaller is one product too, and not a product for each batch, summed afterwards.

Legend: N rows, K inner size, M columns, … batches.
Source: aten/src/ATen/native/LinearAlgebra.cpp, _matmul_impl and tensordot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Y = A B, where a vector counts as one row on the left, one column on the right.

    Args:
        input: A, shape (K) or (…, N, K).
        other: B, shape (K) or (…, K, M); the batches are broadcast against each other.

    Returns:
        Y, shape (…, N, M) without the size of what was a vector.

    Raises:
        RuntimeError: a factor has no dimension, or the inner sizes differ.
    """
    ranks = input.dim(), other.dim()
    if 0 in ranks:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {ranks[0]}D and {ranks[1]}D")
    if ranks == (1, 1):
        return torch.dot(input, other)
    if ranks == (2, 1):
        return torch.mv(input, other)
    if ranks == (1, 2):
        return torch.mm(input.unsqueeze(0), other).squeeze(0)
    if ranks == (2, 2):
        return torch.mm(input, other)
    return _folded(input, other) if _folds(input, other) else _batched(input, other)


def reversed_matmul(input: Tensor, other: Tensor) -> Tensor:
    """Y = B A, for ``other @ input``."""
    return torch.matmul(other, input)


def _folds(input: Tensor, other: Tensor) -> bool:
    """Tell whether torch folds: always if the smaller factor will want a gradient, else where it costs no copy."""
    larger, smaller = (input, other) if input.dim() >= other.dim() else (other.mT, input)
    if smaller.dim() > 2 or larger.dim() < 3:
        return False
    if smaller.requires_grad:
        return True
    if input.dim() == 2:
        return False
    batches = zip(larger.stride()[:-2], larger.stride()[1:-1], larger.shape[1:-1], strict=True)
    return larger.numel() == 0 or all(outer == inner * size for outer, inner, size in batches)


def _folded(input: Tensor, other: Tensor) -> Tensor:
    if input.dim() < other.dim():
        return _folded(other.mT, input) if input.dim() == 1 else _folded(other.mT, input.t()).mT.contiguous()
    rows = input.reshape(-1 if input.numel() else math.prod(input.shape[:-1]), input.shape[-1])
    product = torch.mm(rows, other) if other.dim() == 2 else torch.mv(rows, other)
    return product.view(*input.shape[:-1], *other.shape[1:])


def _batched(input: Tensor, other: Tensor) -> Tensor:
    if input.dim() == other.dim() == 3 and input.shape[0] != other.shape[0]:
        if input.shape[0] == 1 and input.requires_grad:
            return matmul(input.squeeze(0), other)
        if other.shape[0] == 1 and other.requires_grad:
            return matmul(input, other.squeeze(0))
    left = input if input.dim() > 1 else input.unsqueeze(0)
    right = other if other.dim() > 1 else other.unsqueeze(1)
    batches = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])  # type: ignore[no-untyped-call]
    count = math.prod(batches)
    pairs = [matrix.expand(*batches, -1, -1).reshape(count, *matrix.shape[-2:]) for matrix in (left, right)]
    rows = input.shape[-2:-1]
    columns = other.shape[-1:] if other.dim() > 1 else ()
    return torch.bmm(*pairs).view(*batches, *rows, *columns)


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] | Tensor = 2, **_out: None) -> Tensor:
    """Y = Σ A B over pairs of dimensions: the last of A with the first of B, or those that ``dims`` lists.

    Args:
        a: A, any shape.
        b: B, any shape.
        dims: how many dimensions to contract, or the dimensions of A and those of B.
    """
    a_dims, b_dims = _contracted(a, dims)
    a_dims, b_dims = [dim % a.dim() for dim in a_dims], [dim % b.dim() for dim in b_dims]
    for a_dim, b_dim in zip(a_dims, b_dims, strict=True):
        if a.shape[a_dim] == 1 and b.shape[b_dim] != 1:
            b = b.sum(b_dim, keepdim=True)
        elif b.shape[b_dim] == 1 and a.shape[a_dim] != 1:
            a = a.sum(a_dim, keepdim=True)
    a_kept = [dim for dim in range(a.dim()) if dim not in a_dims]
    b_kept = [dim for dim in range(b.dim()) if dim not in b_dims]
    shape = [a.shape[dim] for dim in a_kept] + [b.shape[dim] for dim in b_kept]
    left, right = a.permute(*a_kept, *a_dims), b.permute(*b_dims, *b_kept)
    if math.prod(shape) == 1:
        return _sum_of_products(left, right).reshape(shape)
    inner = math.prod(a.shape[dim] for dim in a_dims)
    rows = left.reshape(math.prod(shape[: len(a_kept)]), inner)
    columns = right.reshape(inner, math.prod(shape[len(a_kept) :]))
    return torch.mm(rows, columns).reshape(shape)


def _sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    if left.is_contiguous() and right.is_contiguous():
        return torch.dot(left.reshape(-1), right.reshape(-1))
    return (left.squeeze() * right.squeeze()).sum()


def _contracted(a: Tensor, dims: int | Sequence[Sequence[int]] | Tensor) -> tuple[list[int], list[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        return list(range(a.dim() - dims, a.dim())), list(range(dims))
    return list(dims[0]), list(dims[1])


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Y = Σ A B over the last dimension of both; a number multiplies."""
    if input.dim() == 0 or other.dim() == 0:
        return input * other
    return tensordot(input, other, ([-1], [-1]))


EXAMPLES = (
    call(T(4), T(4)),
    call(T(3, 4), T(4)),
    call(T(4), T(4, 5)),
    call(T(3, 4), T(4, 5)),
    call(T(2, 3, 4), T(4, 5)),
    call(T(2, 3, 4), T(4)),
    call(T(4), T(2, 4, 5)),
    call(T(3, 4), T(2, 4, 5)),
    call(T(2, 3, 4), T(2, 4, 5)),
    call(T(1, 3, 4), T(2, 4, 5)),
    call(T(2, 3, 4), T(1, 4, 5)),
    call(T(2, 1, 3, 4), T(5, 4, 3)),
)
CONSTANTS = (
    call(T(2, 3, 4), T(4, 5, constant=True)),
    call(T(3, 4, constant=True), T(2, 4, 5)),
    call(T(4, constant=True), T(2, 4, 5)),
    call(T(1, 3, 4, constant=True), T(2, 4, 5)),
    call(T(2, 0, 4), T(4, 5)),
)

MATMUL: dict[str, Composite] = {
    "matmul": Composite(
        "matmul",
        (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.linalg.matmul),
        matmul,
        EXAMPLES,
        also={torch.matmul: CONSTANTS},
    ),
    "reversed_matmul": Composite("reversed_matmul", (Tensor.__rmatmul__,), reversed_matmul, (call(T(3, 4), T(2, 3)),)),
    "tensordot": Composite(
        "tensordot",
        (torch.tensordot,),
        tensordot,
        (
            call(T(2, 3, 4), T(3, 4, 5)),
            call(T(2, 3), T(3, 4), dims=1),
            call(T(2, 3), T(2, 3)),
            call(T(2, 3), T(3, 2), dims=([0, 1], [1, 0])),
            call(T(2), T(3), dims=0),
            call(T(2, 3, 4), T(4, 5, 2), dims=([0, -1], [2, 0])),
            call(T(2, 1), T(3, 4), dims=1),
        ),
    ),
    "inner": Composite(
        "inner", (torch.inner, Tensor.inner), inner, (call(T(2, 3), T(4, 3)), call(T(3), T(3)), call(T(2, 3), T()))
    ),
}
