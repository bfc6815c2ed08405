"""Adam with decoupled weight decay: what ``torch.optim.AdamW.step()`` does.

With gradient g, parameter p, first moment m, second moment v (all of one shape, zero at first) and step number t = 1, 2, …:

    p ← p · (1 − lr · λ)
    m ← m + (1 − β₁)(g − m)
    v ← β₂ v + (1 − β₂) g²
    p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2. Like torch, and unlike the paper, the decay is
multiplied by the lr, and eps is added after the bias correction of √v.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from trainloop.manual.optim.base import Group, Optimizer, State


class AdamW(Optimizer):
    """Step along the bias-corrected mean gradient; bit-identical to ``torch.optim.AdamW(foreach=False, fused=False)``.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, each in [0, 1).
        eps: added to the root of the second moment, ≥ 0.
        weight_decay: λ, ≥ 0.

    Raises:
        ValueError: a hyper-parameter is out of range.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, found {value}")
        for index, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{index}] must be in [0, 1), found {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, param: Parameter, grad: Tensor, state: State, group: Group) -> None:
        """Apply the formula at the top of this file."""
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        if not state:
            # torch keeps the step as a float32 tensor; the same type here keeps the two state dicts interchangeable.
            state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        state["step"] = state["step"] + 1
        step = state["step"].item()
        decayed = param.data * (1 - lr * group["weight_decay"]) if group["weight_decay"] != 0 else param.data
        state["exp_avg"] = torch.lerp(state["exp_avg"], grad, 1 - beta1)
        state["exp_avg_sq"] = torch.addcmul(state["exp_avg_sq"] * beta2, grad, grad, value=1 - beta2)
        correction1 = 1 - beta1**step
        correction2_sqrt = (1 - beta2**step) ** 0.5
        denominator = state["exp_avg_sq"].sqrt() / correction2_sqrt + eps
        param.data = torch.addcdiv(decayed, state["exp_avg"], denominator, value=-lr / correction1)
