"""Softmax, its logarithm, and the logarithm of a sum of exponentials: normalized over one dimension (logsumexp: over several).

Each forward is torch's, which subtracts the largest element first, so that no exponential overflows.

Legend: x input, y output, g grad_output, all of one shape; Σ runs over ``dim``.
Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.reduction import restored


def softmax(
    input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, *, _stacklevel: int = 3
) -> tuple[Tensor, Saved]:
    """y = exp(x) / Σ exp(x); saves y."""
    output = F.softmax(input, dim, _stacklevel, dtype)
    return output, (output, _chosen(dim, input))


def softmax_vjp(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    """grad_input = y · (g − Σ g · y)."""
    return output * (grad_output - (grad_output * output).sum(dim, keepdim=True))


def softmax_vjp_aten(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten._softmax_backward_data(grad_output, output, dim, output.dtype)
    return grad_input


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, *, _stacklevel: int = 3
) -> tuple[Tensor, Saved]:
    """y = x − log Σ exp(x); saves y."""
    output = F.log_softmax(input, dim, _stacklevel, dtype)
    return output, (output, _chosen(dim, input))


def log_softmax_vjp(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    """grad_input = g − exp(y) · Σ g."""
    return grad_output - torch.exp(output) * grad_output.sum(dim, keepdim=True)


def log_softmax_vjp_aten(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten._log_softmax_backward_data(grad_output, output, dim, output.dtype)
    return grad_input


def _chosen(dim: int | None, input: Tensor) -> int:
    """Return the dimension that torch takes, with a warning, where none is given: what was the channels long ago."""
    if dim is not None:
        return dim
    return 0 if input.dim() in (0, 1, 3) else 1


def softmin(input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, *, _stacklevel: int = 3) -> Tensor:
    """y = exp(−x) / Σ exp(−x)."""
    return F.softmax(-input, dim, _stacklevel, dtype)


def logsumexp(input: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> tuple[Tensor, Saved]:
    """y = log Σ exp(x); saves x and y."""
    output = torch.logsumexp(input, dim, keepdim)
    return output, (input, output, dim, keepdim)


def logsumexp_vjp(
    grad_output: Tensor, input: Tensor, output: Tensor, dim: int | tuple[int, ...], keepdim: bool
) -> Tensor:
    """grad_input = g · exp(x − y)."""
    grad, total = (restored(tensor, input.dim(), dim, keepdim) for tensor in (grad_output, output))
    return grad * (input - total).exp()


DIMS = (
    call(T(2, 3, 4), 1),
    call(T(2, 3), dim=-1),
    call(T(3, 17), 0),
    call(T(), 0),
    call(T(2, 3), 1, dtype=torch.float64),
)

SOFTMAX: dict[str, Rule | Composite] = {
    "softmax": Rule(
        "softmax",
        functions=(F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax),
        forms={"formula": Form(softmax, softmax_vjp), "aten": Form(softmax, softmax_vjp_aten, exact=True)},
        examples=DIMS,
        also={torch.softmax: (call(T(2, 3), 1, torch.float64),)},
    ),
    "log_softmax": Rule(
        "log_softmax",
        functions=(F.log_softmax, torch.log_softmax, Tensor.log_softmax, torch.special.log_softmax),
        forms={
            "formula": Form(log_softmax, log_softmax_vjp),
            "aten": Form(log_softmax, log_softmax_vjp_aten, exact=True),
        },
        examples=DIMS,
    ),
    "softmin": Composite("softmin", (F.softmin,), softmin, DIMS[:2], exact="aten"),
    "logsumexp": Rule(
        "logsumexp",
        functions=(torch.logsumexp, Tensor.logsumexp, torch.special.logsumexp),
        forms={"formula": Form(logsumexp, logsumexp_vjp, exact=True)},
        examples=(
            call(T(2, 3, 4), 1),
            call(T(2, 3, 4), (0, -1), True),
            call(T(2, 3), dim=-1, keepdim=True),
            call(T(), 0),
        ),
    ),
}
