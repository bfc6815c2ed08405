"""Adagrad: what ``torch.optim.Adagrad.step()`` does.

With gradient g, parameter p, sum of squares s (all of one shape; s begins at ``initial_accumulator_value``), weight decay λ,
lr decay η and step number t = 1, 2, …:

    g ← −g                      with maximize
    g ← g + λ p
    s ← s + g²
    p ← p − lr / (1 + (t − 1) η) · g / (√s + eps)

Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization", the
diagonal form. Like torch, and unlike the paper, the lr may decay, and weight decay is part of the gradient. Like torch's, the
state is there from the beginning, also of a parameter that never gets a gradient.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, addcdiv_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative
from trainloop.manual.optim.state_dict import counter


class Adagrad(Optimizer):
    """Divide by the root of all squares so far; bit-identical to ``torch.optim.Adagrad(foreach=False, fused=False)``.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        lr_decay: η, ≥ 0.
        weight_decay: λ, ≥ 0.
        initial_accumulator_value: first value of the sum of squares, ≥ 0; the same for all groups.
        eps: added to the root of the sum, ≥ 0.
        foreach: refused, as are ``differentiable`` and ``fused``.
        maximize: step up the gradient.
        differentiable: refused.
        fused: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "lr_decay": (0.0, 0.01),
        "weight_decay": (0.0, 0.05),
        "initial_accumulator_value": (0.0, 0.1),
        "eps": (1e-10, 1e-3),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = self.init_state(param.data, group)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return the first sum of squares."""
        del group
        # From the defaults and not from the group: torch reads it there, whatever a group says.
        return {"step": counter(0.0), "sum": torch.full_like(param, self.defaults["initial_accumulator_value"])}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return lr / (1 + (t − 1) η)."""
        del state
        return {"step_size": group["lr"] / (1 + (step - 1) * group["lr_decay"])}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        total = torch.addcmul(state["sum"], grad, grad)
        denominator = total.sqrt() + group["eps"]
        return addcdiv_scaled(param, grad, denominator, -scalars["step_size"]), {"sum": total}
