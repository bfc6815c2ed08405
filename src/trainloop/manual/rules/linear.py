"""Products of matrices, with or without something added, one by one or in batches.

The two gradients of a product Y = A B are products as well,

    grad_A = G Bᵀ        grad_B = Aᵀ G

and each is computed by the operation that autograd calls, in the memory order in which it asks for the result (columns first
if the matrix itself is stored so), because a product rounds differently in another order.

Legend: A, a left factor, B, b right factor, Y, y output, G, g grad_output; N rows, K inner size, M columns, … batches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Needs, Rule, Saved
from trainloop.manual.rules.arithmetic import Pair


def _scaled(grad: Tensor, factor: float) -> Tensor:
    return grad if factor == 1 else grad * factor


def by_columns(matrix: Tensor) -> bool:
    """Tell whether the elements of a column are neighbours in memory, and its columns follow each other."""
    return matrix.dim() == 2 and matrix.stride() == (1, matrix.shape[0])


def _grad_left(grad_NM: Tensor, b_KM: Tensor, by_columns: bool) -> Tensor:
    """grad_A = G Bᵀ."""
    return b_KM.mm(grad_NM.t()).t() if by_columns else grad_NM.mm(b_KM.t())


def _grad_right(grad_NM: Tensor, a_NK: Tensor, by_columns: bool) -> Tensor:
    """grad_B = Aᵀ G."""
    return grad_NM.t().mm(a_NK).t() if by_columns else a_NK.t().mm(grad_NM)


def mm(input: Tensor, mat2: Tensor, *, needs: Needs) -> tuple[Tensor, Saved]:
    """Y = A B; saves each factor if the other needs a gradient.

    Args:
        input: shape (N, K).
        mat2: shape (K, M).
        needs: whether A, B need a gradient.
    """
    saved = (input if needs[1] else None, mat2 if needs[0] else None, (by_columns(input), by_columns(mat2)))
    return torch.mm(input, mat2), saved


def mm_vjp(grad_NM: Tensor, a_NK: Tensor | None, b_KM: Tensor | None, columns: tuple[bool, bool]) -> Pair:
    """grad_A = G Bᵀ, grad_B = Aᵀ G."""
    return (
        None if b_KM is None else _grad_left(grad_NM, b_KM, columns[0]),
        None if a_NK is None else _grad_right(grad_NM, a_NK, columns[1]),
    )


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, needs: Needs, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """Y = beta · C + alpha · A B; saves what mm saves.

    Args:
        input: C, broadcast to shape (N, M).
        mat1: A, shape (N, K).
        mat2: B, shape (K, M).
        beta: factor of C.
        alpha: factor of A B.
        needs: whether C, A, B need a gradient.
        inplace: write Y into C.
    """
    saved = (mat1 if needs[2] else None, mat2 if needs[1] else None, (by_columns(mat1), by_columns(mat2)))
    function = Tensor.addmm_ if inplace else torch.addmm
    return function(input, mat1, mat2, beta=beta, alpha=alpha), (*saved, beta, alpha)


def addmm_vjp(
    grad_NM: Tensor, a_NK: Tensor | None, b_KM: Tensor | None, columns: tuple[bool, bool], beta: float, alpha: float
) -> tuple[Tensor | None, ...]:
    """grad_C = beta · G, grad_A = alpha · G Bᵀ, grad_B = alpha · Aᵀ G."""
    products = mm_vjp(grad_NM, a_NK, b_KM, columns)
    return (_scaled(grad_NM, beta), *(None if grad is None else _scaled(grad, alpha) for grad in products))


def bmm(input: Tensor, mat2: Tensor, *, needs: Needs) -> tuple[Tensor, Saved]:
    """Y = A B for each matrix of a batch; saves each factor if the other needs a gradient.

    Args:
        input: shape (…, N, K) with one batch dimension.
        mat2: shape (…, K, M).
        needs: whether A, B need a gradient.
    """
    return torch.bmm(input, mat2), (input if needs[1] else None, mat2 if needs[0] else None)


def bmm_vjp(grad_output: Tensor, a: Tensor | None, b: Tensor | None) -> Pair:
    """grad_A = G Bᵀ, grad_B = Aᵀ G, for each matrix of the batch."""
    return (
        None if b is None else grad_output.bmm(b.transpose(1, 2)),
        None if a is None else a.transpose(1, 2).bmm(grad_output),
    )


def baddbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    needs: Needs,
    inplace: bool = False,
) -> tuple[Tensor, Saved]:
    """Y = beta · C + alpha · A B for each matrix of a batch; saves what bmm saves.

    Args:
        input: C, broadcast to shape (…, N, M).
        batch1: A, shape (…, N, K).
        batch2: B, shape (…, K, M).
        beta: factor of C.
        alpha: factor of A B.
        needs: whether C, A, B need a gradient.
        inplace: write Y into C.
    """
    saved = (batch1 if needs[2] else None, batch2 if needs[1] else None, beta, alpha)
    function = Tensor.baddbmm_ if inplace else torch.baddbmm
    return function(input, batch1, batch2, beta=beta, alpha=alpha), saved


def baddbmm_vjp(
    grad_output: Tensor, a: Tensor | None, b: Tensor | None, beta: float, alpha: float
) -> tuple[Tensor | None, ...]:
    """grad_C = beta · G, grad_A = alpha · G Bᵀ, grad_B = alpha · Aᵀ G."""
    products = bmm_vjp(grad_output, a, b)
    return (_scaled(grad_output, beta), *(None if grad is None else _scaled(grad, alpha) for grad in products))


def mv(input: Tensor, vec: Tensor) -> tuple[Tensor, Saved]:
    """y = A b; saves A (N, K) and b (K)."""
    return torch.mv(input, vec), (input, vec)


def mv_vjp(grad_output: Tensor, a_NK: Tensor, b_K: Tensor, *, needs: Needs) -> Pair:
    """grad_A = g bᵀ, grad_b = Aᵀ g."""
    return (
        torch.outer(grad_output, b_K) if needs[0] else None,
        a_NK.t().mv(grad_output) if needs[1] else None,
    )


def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = beta · c + alpha · A b; saves A (N, K) and b (K)."""
    function = Tensor.addmv_ if inplace else torch.addmv
    return function(input, mat, vec, beta=beta, alpha=alpha), (mat, vec, beta, alpha)


def addmv_vjp(
    grad_output: Tensor, a_NK: Tensor, b_K: Tensor, beta: float, alpha: float, *, needs: Needs
) -> tuple[Tensor | None, ...]:
    """grad_c = beta · g, grad_A = alpha · g bᵀ, grad_b = alpha · Aᵀ g."""
    products = mv_vjp(grad_output, a_NK, b_K, needs=needs[1:])
    return (_scaled(grad_output, beta), *(None if grad is None else _scaled(grad, alpha) for grad in products))


def dot(input: Tensor, tensor: Tensor) -> tuple[Tensor, Saved]:
    """y = Σ a · b of two vectors; saves both."""
    return torch.dot(input, tensor), (input, tensor)


def dot_vjp(grad_output: Tensor, a: Tensor, b: Tensor) -> Pair:
    """grad_a = g · b, grad_b = g · a."""
    return grad_output * b, grad_output * a


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y_ij = a_i · b_j."""
    return input.reshape(-1, 1) * vec2


class _Layout(NamedTuple):
    """How a linear layer was called: what decides in which order its gradients are computed.

    Args:
        input: shape of X.
        weight: shape of W.
        fused: the bias was added by the product itself, to all rows.
        input_by_columns: the rows of X are stored by columns.
        weight_by_columns: Wᵀ is stored by columns.
    """

    input: torch.Size
    weight: torch.Size
    fused: bool
    input_by_columns: bool
    weight_by_columns: bool


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, needs: Needs) -> tuple[Tensor, Saved]:
    """Y = X Wᵀ + b, applied to the last dimension; saves X if W needs a gradient, and W if X does.

    Args:
        input: X, shape (…, K).
        weight: W, shape (M, K), or (K).
        bias: b, shape (M).
        needs: whether X, W, b need a gradient.
    """
    fused = bias is not None and (input.dim() == 2 or input.is_contiguous())
    shape = input.shape
    if needs[1] and input.dim() > 2 and weight.dim() == 2 and not input.is_contiguous():
        input = input.reshape(-1, shape[-1])  # as torch does for a weight that requires grad
        product = input.mm(weight.t()).view(*shape[:-1], weight.shape[0])
        output = product if bias is None else product + bias
    else:
        output = F.linear(input, weight, bias)
    layout = _Layout(shape, weight.shape, fused, by_columns(input), by_columns(weight.t()))
    return output, (input if needs[1] else None, weight if needs[0] else None, layout)


def linear_vjp(
    grad_output: Tensor, input: Tensor | None, weight: Tensor | None, layout: _Layout, *, needs: Needs
) -> tuple[Tensor | None, ...]:
    """grad_X = G W, grad_W = Gᵀ X, grad_b = Σ G over all rows."""
    grad_RM = grad_output.reshape(-1, layout.weight[:-1].numel())
    grad_input = grad_weight = None
    if weight is not None:
        weight_KM = weight.reshape(-1, layout.input[-1]).t()
        grad_input = _grad_left(grad_RM, weight_KM, layout.input_by_columns).reshape(layout.input)
    if input is not None:
        input_RK = input.reshape(-1, layout.input[-1])
        grad_weight = _grad_right(grad_RM, input_RK, layout.weight_by_columns).t().reshape(layout.weight)
    grad_bias = grad_RM if layout.fused else grad_output
    return grad_input, grad_weight, grad_bias if needs[2] else None


MATRICES = (call(T(2, 3), T(3, 4)), call(T(1, 3), T(3, 1)), call(T(0, 3), T(3, 4)))
BATCHES = (call(T(2, 3, 4), T(2, 4, 5)),)

LINEAR: dict[str, Rule | Composite] = {
    "linear": Rule(
        "linear",
        functions=(F.linear,),
        wrt=("input", "weight", "bias"),
        forms={"formula": Form(linear, linear_vjp, exact=True)},
        examples=(
            call(T(5, 3), T(4, 3), T(4)),
            call(T(5, 3), T(4, 3)),
            call(T(2, 5, 3), T(4, 3), bias=T(4)),
            call(T(2, 5, 3), T(4, 3)),
            call(T(3), T(4, 3), T(4)),
            call(T(3), T(4, 3)),
            call(T(0, 3), T(4, 3), T(4)),
        ),
    ),
    "mm": Rule(
        "mm",
        functions=(torch.mm, Tensor.mm),
        wrt=("input", "mat2"),
        forms={"formula": Form(mm, mm_vjp, exact=True)},
        examples=MATRICES,
    ),
    "addmm": Rule(
        "addmm",
        functions=(torch.addmm, Tensor.addmm),
        inplace=(Tensor.addmm_,),
        wrt=("input", "mat1", "mat2"),
        forms={"formula": Form(addmm, addmm_vjp, exact=True)},
        examples=(call(T(2, 4), T(2, 3), T(3, 4)), call(T(2, 4), T(2, 3), T(3, 4), beta=0.3, alpha=-2)),
        also={torch.addmm: (call(T(4), T(2, 3), T(3, 4)),)},
    ),
    "bmm": Rule(
        "bmm",
        functions=(torch.bmm, Tensor.bmm),
        wrt=("input", "mat2"),
        forms={"formula": Form(bmm, bmm_vjp, exact=True)},
        examples=BATCHES,
    ),
    "baddbmm": Rule(
        "baddbmm",
        functions=(torch.baddbmm, Tensor.baddbmm),
        inplace=(Tensor.baddbmm_,),
        wrt=("input", "batch1", "batch2"),
        forms={"formula": Form(baddbmm, baddbmm_vjp, exact=True)},
        examples=(
            call(T(2, 3, 5), T(2, 3, 4), T(2, 4, 5)),
            call(T(2, 3, 5), T(2, 3, 4), T(2, 4, 5), beta=0.3, alpha=-2),
        ),
        also={torch.baddbmm: (call(T(5), T(2, 3, 4), T(2, 4, 5)),)},
    ),
    "mv": Rule(
        "mv",
        functions=(torch.mv, Tensor.mv),
        wrt=("input", "vec"),
        forms={"formula": Form(mv, mv_vjp, exact=True)},
        examples=(call(T(2, 3), T(3)),),
    ),
    "addmv": Rule(
        "addmv",
        functions=(torch.addmv, Tensor.addmv),
        inplace=(Tensor.addmv_,),
        wrt=("input", "mat", "vec"),
        forms={"formula": Form(addmv, addmv_vjp, exact=True)},
        examples=(call(T(2), T(2, 3), T(3)), call(T(2), T(2, 3), T(3), beta=0.3, alpha=-2)),
    ),
    "dot": Rule(
        "dot",
        functions=(torch.dot, Tensor.dot),
        wrt=("input", "tensor"),
        forms={"formula": Form(dot, dot_vjp, exact=True)},
        examples=(call(T(5), T(5)),),
    ),
    "outer": Composite("outer", (torch.outer, torch.ger, Tensor.outer, Tensor.ger), outer, (call(T(2), T(3)),)),
}
