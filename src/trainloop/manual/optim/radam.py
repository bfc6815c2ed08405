"""Adam that waits until its second moment can be trusted: what ``torch.optim.RAdam.step()`` does.

With gradient g, parameter p, first moment m, second moment v (all of one shape, zero at first), step number t = 1, 2, …, decay
rates β₁ and β₂, weight decay λ:

    g ← −g                                       with maximize
    g ← g + λ p                                  or p ← p · (1 − lr · λ) with decoupled_weight_decay
    m ← m + (1 − β₁)(g − m)
    v ← β₂ v + (1 − β₂) g²
    ρ∞ = 2 / (1 − β₂) − 1                        how many steps v averages over in the long run …
    ρ  = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)                … and how many by now
    r  = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
    p ← p − lr · m / (1 − β₁ᵗ) · r · √(1 − β₂ᵗ) / (√v + eps)       when ρ > 5
    p ← p − lr · m / (1 − β₁ᵗ)                                     before

Early on, v is the mean of a few squares, and dividing by its root makes steps of wild length; a warm-up of the lr hides
that. Here the first steps (five, with β₂ = 0.999) do not divide at all, and r, which grows from near 0 to 1, is the warm-up.

Source: Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond", arXiv:1908.03265, algorithm 2. Like
torch, and unlike the paper, v is not divided before ρ > 5 and not before ρ > 4; the paper has no eps, which is added to √v
before the bias correction and not, as in Adam, after it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, choose
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_betas, check_not_negative
from trainloop.manual.optim.state_dict import counter


class RAdam(Optimizer):
    """Adam with a rectified variance; bit-identical to ``torch.optim.RAdam(foreach=False)`` on the CPU.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, each in [0, 1).
        eps: added to the root of the second moment, ≥ 0.
        weight_decay: λ, ≥ 0.
        decoupled_weight_decay: shrink the parameter itself, not by way of the gradient.
        foreach: refused, as are ``capturable`` and ``differentiable``.
        maximize: step up the gradient.
        capturable: refused.
        differentiable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "betas": ((0.9, 0.999), (0.0, 0.5)),
        "eps": (1e-8, 1e-3),
        "weight_decay": (0.0, 0.05),
        "decoupled_weight_decay": (False, True),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero moments."""
        del group
        return {"step": counter(0.0), **{name: torch.zeros_like(param) for name in ("exp_avg", "exp_avg_sq")}}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return lr, both corrections, whether to divide by √v, r and 1 − lr · λ."""
        del state
        lr, (beta1, beta2) = group["lr"], group["betas"]
        correction2 = 1 - beta2**step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * (beta2**step) / correction2
        rectify = rho > 5.0
        return {
            "lr": lr,
            "correction1": 1 - beta1**step,
            "correction2_sqrt": correction2**0.5,
            "rectify": rectify,
            # Below 4 the root would be that of a negative number; its value does not matter then.
            "rectification": _rectification(rho, rho_inf) if rectify else 1.0,
            "decay": 1 - lr * group["weight_decay"],
        }

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        beta1, beta2 = group["betas"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                param = param * scalars["decay"]
            else:
                grad = add_scaled(grad, param, group["weight_decay"])
        exp_avg = torch.lerp(state["exp_avg"], grad, 1 - beta1)
        exp_avg_sq = torch.addcmul(state["exp_avg_sq"] * beta2, grad, grad, value=1 - beta2)
        plain = exp_avg / scalars["correction1"] * scalars["lr"]
        # A Python number divided by a tensor is the number times the tensor's reciprocal; here that is written out.
        adaptive = (exp_avg_sq.sqrt() + group["eps"]).reciprocal() * scalars["correction2_sqrt"]
        move = choose(scalars["rectify"], plain * adaptive * scalars["rectification"], plain)
        return param - move, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


def _rectification(rho: float, rho_inf: float) -> float:
    root: float = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
    return root
