"""Adam with Nesterov momentum: what ``torch.optim.NAdam.step()`` does.

With gradient g, parameter p, first moment m, second moment v (all of one shape, zero at first), step number t = 1, 2, …, decay
rates β₁ and β₂, momentum decay ψ, weight decay λ:

    g ← −g                                       with maximize
    g ← g + λ p                                  or p ← p · (1 − lr · λ) with decoupled_weight_decay
    m ← m + (1 − β₁)(g − m)
    v ← β₂ v + (1 − β₂) g²
    d = √(v / (1 − β₂ᵗ)) + eps
    μₜ = β₁ (1 − ½ · 0.96^(t ψ))                 the momentum of step t, which grows from about ½ β₁ to β₁
    p ← p − lr · (1 − μₜ) / (1 − μ₁ ⋯ μₜ) · g / d − lr · μₜ₊₁ / (1 − μ₁ ⋯ μₜ₊₁) · m / d

Adam steps along m; here the gradient of this step takes the place of the oldest part of m, and m is already weighted for the
next step: the look ahead of Nesterov's momentum.

Source: Dozat 2016, "Incorporating Nesterov Momentum into Adam", algorithm 2, with the momentum schedule of its appendix. Like
torch, and unlike the paper, m is filled with the constant 1 − β₁ and not with 1 − μₜ; and the product of all μ is kept as a
float32 number, so it carries a rounding of every step.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, addcdiv_scaled, as_state
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_betas, check_not_negative
from trainloop.manual.optim.state_dict import counter


class NAdam(Optimizer):
    """Adam that looks ahead; bit-identical to ``torch.optim.NAdam(foreach=False)`` on the CPU.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, each in [0, 1).
        eps: added to the root of the second moment, ≥ 0.
        weight_decay: λ, ≥ 0.
        momentum_decay: ψ, ≥ 0; how fast the momentum grows to β₁.
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
        "betas": ((0.9, 0.999), (0.0, 0.95)),
        "eps": (1e-8, 1e-3),
        "weight_decay": (0.0, 0.05),
        "momentum_decay": (4e-3, 0.5),
        "decoupled_weight_decay": (False, True),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero moments, and the empty product of momenta."""
        del group
        moments = {name: torch.zeros_like(param) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": counter(0.0), "mu_product": counter(1.0), **moments}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the factors of g / d and m / d, the product of the momenta so far, 1 − β₂ᵗ and 1 − lr · λ."""
        lr, (beta1, beta2), psi = group["lr"], group["betas"], group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (step * psi)))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((step + 1) * psi)))
        mu_product = (state["mu_product"] * mu).item()
        return {
            "grad_size": lr * (1.0 - mu) / (1.0 - mu_product),
            "exp_avg_size": lr * mu_next / (1.0 - mu_product * mu_next),
            "mu_product": mu_product,
            "correction2": 1 - beta2**step,
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
        denominator = (exp_avg_sq / scalars["correction2"]).sqrt() + group["eps"]
        param = addcdiv_scaled(param, grad, denominator, -scalars["grad_size"])
        param = addcdiv_scaled(param, exp_avg, denominator, -scalars["exp_avg_size"])
        mu_product = as_state(scalars["mu_product"], state["mu_product"])
        return param, {"mu_product": mu_product, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
