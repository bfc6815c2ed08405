"""Adam, steps scaled by running means of gradient and squared gradient: what ``torch.optim.Adam.step()`` does.

With gradient g, parameter p, first moment m, second moment v and its maximum w (all of one shape, zero at first), step
number t = 1, 2, …, decay rates β₁ and β₂, weight decay λ:

    g ← −g                                       with maximize
    g ← g + λ p
    m ← m + (1 − β₁)(g − m)
    v ← β₂ v + (1 − β₂) g²
    w ← max(w, v)                                with amsgrad; v takes the place of w below without
    p ← p − lr / (1 − β₁ᵗ) · m / (√w / √(1 − β₂ᵗ) + eps)

``decoupled_weight_decay`` makes it AdamW: p ← p · (1 − lr · λ) takes the place of the second line.

Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; amsgrad: Reddi, Kale & Kumar 2018, "On the Convergence of Adam and
Beyond", algorithm 2. Like torch, and unlike the latter paper, amsgrad corrects the bias: it takes the maximum of v as it is and
divides the maximum by 1 − β₂ᵗ.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, addcdiv_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_betas, check_not_negative
from trainloop.manual.optim.state_dict import counter


class Adam(Optimizer):
    """Step along the bias-corrected mean gradient; bit-identical to ``torch.optim.Adam(foreach=False, fused=False)``.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, floats in [0, 1).
        eps: added to the root of the second moment, ≥ 0.
        weight_decay: λ, ≥ 0.
        amsgrad: divide by the largest second moment so far.
        foreach: refused, as are ``capturable``, ``differentiable`` and ``fused``.
        maximize: step up the gradient.
        capturable: refused.
        differentiable: refused.
        fused: refused.
        decoupled_weight_decay: shrink the parameter itself, not by way of the gradient.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "betas": ((0.9, 0.999), (0.0, 0.95)),
        "eps": (1e-8, 1e-3),
        "weight_decay": (0.0, 0.05),
        "amsgrad": (False, True),
        "maximize": (False, True),
        "decoupled_weight_decay": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        if not all(isinstance(beta, float) for beta in betas):
            raise ValueError(f"betas must be two floats, found {betas}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero moments."""
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return {"step": counter(0.0), **{name: torch.zeros_like(param) for name in names}}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return lr / (1 − β₁ᵗ), √(1 − β₂ᵗ) and 1 − lr · λ."""
        del state
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return {
            "step_size": lr / (1 - beta1**step),
            "correction2_sqrt": (1 - beta2**step) ** 0.5,
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
        new_state = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
        if group["amsgrad"]:
            exp_avg_sq = new_state["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], exp_avg_sq)
        denominator = exp_avg_sq.sqrt() / scalars["correction2_sqrt"] + group["eps"]
        return addcdiv_scaled(param, exp_avg, denominator, -scalars["step_size"]), new_state
