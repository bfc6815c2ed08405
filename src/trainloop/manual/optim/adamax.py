"""Adam with the largest gradient in place of the mean square: what ``torch.optim.Adamax.step()`` does.

With gradient g, parameter p, first moment m, infinity norm u (all of one shape, zero at first), step number t = 1, 2, …, decay
rates β₁ and β₂, weight decay λ:

    g ← −g                                       with maximize
    g ← g + λ p
    m ← m + (1 − β₁)(g − m)
    u ← max(β₂ u, |g| + eps)
    p ← p − lr / (1 − β₁ᵗ) · m / u

u is the limit of Adam's √v when its square and root become an n-th power and n-th root with n → ∞. It needs no bias
correction, for the maximum with a zero at the start is no smaller for it.

Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 2. Like torch, and unlike the paper, eps is added to |g|, lest a gradient
of zero make the division 0 / 0.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, addcdiv_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_betas, check_not_negative
from trainloop.manual.optim.state_dict import counter


class Adamax(Optimizer):
    """Step along the mean gradient over the largest; bit-identical to ``torch.optim.Adamax(foreach=False)`` on the CPU.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, each in [0, 1).
        eps: added to the size of each gradient, ≥ 0.
        weight_decay: λ, ≥ 0.
        foreach: refused, as are ``capturable`` and ``differentiable``.
        maximize: step up the gradient.
        differentiable: refused.
        capturable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "betas": ((0.9, 0.999), (0.0, 0.95)),
        "eps": (1e-8, 1e-3),
        "weight_decay": (0.0, 0.05),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return a zero moment and a zero norm."""
        del group
        return {"step": counter(0.0), **{name: torch.zeros_like(param) for name in ("exp_avg", "exp_inf")}}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return lr / (1 − β₁ᵗ)."""
        del state
        return {"step_size": group["lr"] / (1 - group["betas"][0] ** step)}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        beta1, beta2 = group["betas"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        exp_avg = torch.lerp(state["exp_avg"], grad, 1 - beta1)
        exp_inf = torch.maximum(state["exp_inf"] * beta2, grad.abs() + group["eps"])
        return addcdiv_scaled(param, exp_avg, exp_inf, -scalars["step_size"]), {"exp_avg": exp_avg, "exp_inf": exp_inf}
