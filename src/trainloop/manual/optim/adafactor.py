"""Adafactor: what ``torch.optim.Adafactor.step()`` does.

With gradient G and parameter P of n rows and m columns (more dimensions are a stack of matrices), row means R (n, 1) and column
means C (1, m) of G², both zero at first, and step number t = 1, 2, …; RMS is the root of the mean square of all elements:

    G ← −G                      with maximize
    1 − β = t^τ                 τ = ``beta2_decay`` ≤ 0
    α = max(ε₂, RMS(P)) · min(lr, 1/√t)
    P ← (1 − lr · λ) P
    R ← R + (1 − β)(mean over columns of G² − R)
    C ← C + (1 − β)(mean over rows of G² − C)
    V = R C / max(mean of R, ε₁)
    U = G / √max(V, ε₁²)
    P ← P − α / max(1, RMS(U) / d) · U

R and C stand for the whole second moment: n + m numbers instead of n · m. A parameter of fewer than two dimensions keeps the
whole of it: V ← V + (1 − β)(G² − V).

Source: Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 and 5. Like torch, and unlike the paper: R and C are means instead
of sums; ε₁ bounds the denominators instead of being added to G²; lr bounds the relative step (0.01 in the paper) and scales the
decay; ε₁ is the spacing of the dtype unless it is given. Unlike torch, in a group of several dtypes each parameter has the ε₁
of its own dtype (torch takes the first one's for all).

The two RMS are taken to double precision before they enter the step size, for torch computes it on the host; here it stays a
0-d tensor, so that the update can be captured.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative, check_number
from trainloop.manual.optim.state_dict import counter


class Adafactor(Optimizer):
    """Divide by a second moment kept as rows and columns; bit-identical to ``torch.optim.Adafactor(foreach=False)``.

    Args:
        params: parameters, or groups of them.
        lr: upper bound of the relative step size, ≥ 0.
        beta2_decay: τ, ≤ 0.
        eps: ε₁ ≥ 0, or None for the spacing of the parameter's dtype at 1; and ε₂ ≥ 0.
        d: clipping threshold of the update's RMS, ≥ 1.
        weight_decay: λ, ≥ 0.
        foreach: refused.
        maximize: step up the gradient.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "beta2_decay": (-0.8, -0.3),
        "eps": ((None, 1e-3), (1e-2, 0.5)),
        "d": (1.0, 1.5),
        "weight_decay": (0.0, 0.05),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_not_negative(**{"lr": lr, "eps[1]": eps[1], "weight_decay": weight_decay})
        if eps[0] is not None:
            check_not_negative(**{"eps[0]": eps[0]})
        for name, value in (("beta2_decay", beta2_decay), ("d", d)):
            check_number(name, value)
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay must be <= 0, found {beta2_decay}")
        if not d >= 1:
            raise ValueError(f"d must be >= 1, found {d}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero row and column means, or a zero second moment for fewer than two dimensions."""
        del group
        if param.dim() < 2:
            return {"step": counter(0.0), "variance": torch.zeros_like(param)}
        *stack, rows, columns = param.shape
        return {
            "step": counter(0.0),
            "row_var": param.new_zeros(*stack, rows, 1),
            "col_var": param.new_zeros(*stack, 1, columns),
        }

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return 1 − β, the bound of the relative step size, and 1 − lr · λ."""
        del state
        lr = group["lr"]
        return {
            "one_minus_beta2": step ** group["beta2_decay"],
            "relative_step": torch.tensor(min(lr, 1 / step**0.5), dtype=torch.float64),
            "decay": 1 - lr * group["weight_decay"],
        }

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        eps1, eps2 = group["eps"]
        eps1 = torch.finfo(param.dtype).eps if eps1 is None else eps1
        if group["maximize"]:
            grad = -grad
        step_size = _at_least(_root_mean_square(param), eps2) * scalars["relative_step"]
        if group["weight_decay"] != 0:
            param = param * scalars["decay"]
        new_state = _second_moment(grad, state, scalars)
        update = _variance(new_state, eps1).clamp(min=eps1 * eps1).rsqrt() * grad
        clip = _at_least(_root_mean_square(update, group["d"]), 1.0)
        return add_scaled(param, update, (-step_size / clip).to(param)), new_state


def _second_moment(grad: Tensor, state: State, scalars: Scalars) -> State:
    """Move the means towards those of grad²; shapes (…, n, 1) and (…, 1, m), or that of grad."""
    rate = scalars["one_minus_beta2"]
    if "variance" in state:
        return {"variance": torch.lerp(state["variance"], grad * grad, rate)}
    row_mean, col_mean = (
        torch.linalg.vector_norm(grad, dim=dim, keepdim=True).square() / grad.size(dim) for dim in (-1, -2)
    )
    return {
        "row_var": torch.lerp(state["row_var"], row_mean, rate),
        "col_var": torch.lerp(state["col_var"], col_mean, rate),
    }


def _variance(state: State, eps1: float) -> Tensor:
    """Return the second moment of every element, shape (…, n, m)."""
    if "variance" in state:
        return state["variance"]
    row_var, col_var = state["row_var"], state["col_var"]
    return row_var @ col_var / row_var.mean(dim=-2, keepdim=True).clamp(min=eps1)


def _root_mean_square(x: Tensor, divisor: float = 1.0) -> Tensor:
    """Return RMS(x) / divisor, shape (), float64 (on the CPU where the device has no float64)."""
    norm = torch.linalg.vector_norm(x)
    wide = (norm.cpu() if x.device.type == "mps" else norm).to(torch.float64)
    root: float = x.numel() ** 0.5
    return torch.div(wide, root * divisor)


def _at_least(x: Tensor, bound: float) -> Tensor:
    """Return x, or the bound where x is not above it; a NaN gives the bound, as Python's ``max`` in torch's code does."""
    return torch.where(x > bound, x, bound)
