"""Norms of vectors, and what torch's functional library makes of them.

    y = (Σ |x|ᵖ)^(1/p)        ∂y/∂x = sign(x) · (|x| / y)^(p−1)

Legend: x input, y output, g grad_output, p the order; Σ over ``dim``, all dimensions if None.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.reduction import Dims, restored


def vector_norm(
    x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Saved]:
    """y = (Σ |x|ᵖ)^(1/p), max |x| for p = ∞, min |x| for p = −∞, the number of x ≠ 0 for p = 0; saves x and y."""
    output = torch.linalg.vector_norm(x, ord, dim, keepdim, dtype=dtype)
    return output, (x, output, ord, dim, keepdim)


def vector_norm_vjp(
    grad_output: Tensor, x: Tensor, output: Tensor, ord: float, dim: Dims, keepdim: bool
) -> Tensor | None:
    """grad_x = g · sign(x) · (|x| / y)^(p−1), 0 where y = 0; p = ±∞: g divided among all |x| = y; p = 0: none.

    Each case in the operations of torch, which avoid powers where p is 1 or 2, and x⁰ where p > 2.
    """
    grad, norm = (restored(tensor, x.dim(), dim, keepdim) for tensor in (grad_output, output))
    if ord == 0:
        return None
    if ord == 1:
        return x.sgn() * grad
    if ord == 2:
        return grad * (x / norm).masked_fill(norm == 0, 0)
    if math.isinf(ord):
        size = x.abs()
        found = (size == norm) | size.isnan()
        return x.sgn() * ((grad / found.sum(dim, keepdim=True)) * found)
    if ord < 1:
        return x.sgn() * x.abs().pow(ord - 1).masked_fill(x == 0, 0) * grad * norm.pow(1 - ord)
    scale = (grad / norm.pow(ord - 1)).masked_fill(norm == 0, 0)
    return (x.sgn() * x.abs().pow(ord - 1) if ord < 2 else x * x.abs().pow(ord - 2)) * scale


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    out: None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """y = the norm of order p of vectors; ``fro`` and None are order 2.

    Args:
        input: x, any shape.
        p: the order.
        dim: the dimensions that are reduced, all if None.
        keepdim: keep them, with size 1.
        out: not taken.
        dtype: of the output.
    """
    del out
    if p == "nuc":
        nuclear: Tensor = torch.linalg.matrix_norm(input, "nuc", dim or (-2, -1), keepdim, dtype=dtype)
        return nuclear
    order = 2.0 if p is None or isinstance(p, str) else p
    output: Tensor = torch.linalg.vector_norm(input, order, dim, keepdim, dtype=dtype)
    return output


def linalg_norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """y = the norm of vectors if there is one dimension to reduce or no order, else that of matrices (which has no rule yet).

    Args:
        A: x, any shape.
        ord: the order; None is 2, over all dimensions that are reduced.
        dim: the dimensions that are reduced, all if None.
        keepdim: keep them, with size 1.
        dtype: of the output.
    """
    reduced = A.dim() if dim is None else 1 if isinstance(dim, int) else len(dim)
    output: Tensor
    if ord is not None and reduced != 1:
        output = torch.linalg.matrix_norm(A, ord, dim or (-2, -1), keepdim, dtype=dtype)
    else:
        output = torch.linalg.vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    return output


def normalize(input: Tensor, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12, **_out: None) -> Tensor:
    """y = x / max(norm of x along ``dim``, eps)."""
    length: Tensor = torch.linalg.vector_norm(input, p, dim, True)
    return input / length.clamp_min(eps)


ORDERS = (1, 2, 3, 0.5, 1.5, math.inf, -math.inf)
DIMS = (
    call(T(2, 3, 4)),
    call(T(2, 3, 4), 2, 1),
    call(T(2, 3, 4), 2.0, dim=(0, -1)),
    call(T(2, 3, 4), 3, dim=-1, keepdim=True),
)

VECTOR_NORM: dict[str, Rule | Composite] = {
    "vector_norm": Rule(
        "vector_norm",
        functions=(torch.linalg.vector_norm,),
        wrt=("x",),
        forms={"formula": Form(vector_norm, vector_norm_vjp, exact=True)},
        examples=(*(call(T(2, 3), order, 1) for order in ORDERS), *DIMS, call(T()), call(T(2, 3), dtype=torch.float64)),
    ),
    "norm": Composite(
        "norm", (torch.norm, Tensor.norm), norm, (*DIMS, call(T(2, 3), dim=1), call(T(2, 3), None, (1,)))
    ),
    "linalg_norm": Composite(
        "linalg_norm",
        (torch.linalg.norm,),
        linalg_norm,
        (call(T(2, 3)), call(T(2, 3), 1, 0), call(T(4), 3.0), call(T(2, 3, 4), dim=(0, 1), keepdim=True)),
    ),
    "normalize": Composite("normalize", (F.normalize,), normalize, (call(T(2, 3)), call(T(2, 3), p=1, dim=0))),
}
