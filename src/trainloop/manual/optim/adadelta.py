"""Adadelta: what ``torch.optim.Adadelta.step()`` does.

With gradient g, parameter p, running means v of g² and u of the squared changes Δ² (all of one shape; v and u are zero at
first), weight decay λ:

    g ← −g                      with maximize
    g ← g + λ p
    v ← ρ v + (1 − ρ) g²
    Δ ← √(u + eps) / √(v + eps) · g
    u ← ρ u + (1 − ρ) Δ²
    p ← p − lr · Δ

Δ has the unit of p, whatever the unit of the loss; that is the idea of the method.

Source: Zeiler 2012, arXiv:1212.5701, algorithm 1. Like torch, and unlike the paper, Δ is multiplied by an lr (1 by default)
when it is used; u takes Δ without it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative
from trainloop.manual.optim.state_dict import counter


class Adadelta(Optimizer):
    """Scale the gradient to the size of earlier changes; bit-identical to ``torch.optim.Adadelta(foreach=False)``.

    Args:
        params: parameters, or groups of them.
        lr: factor on the change, ≥ 0.
        rho: ρ, from 0 to 1.
        eps: added inside both roots, ≥ 0.
        weight_decay: λ, ≥ 0.
        foreach: refused, as are ``capturable`` and ``differentiable``.
        capturable: refused.
        maximize: step up the gradient.
        differentiable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "rho": (0.9, 0.5),
        "eps": (1e-6, 1e-3),
        "weight_decay": (0.0, 0.05),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        if rho > 1:
            raise ValueError(f"rho must be <= 1, found {rho}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero means."""
        del group
        return {"step": counter(0.0), "square_avg": torch.zeros_like(param), "acc_delta": torch.zeros_like(param)}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the lr."""
        del state, step
        return {"lr": group["lr"]}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        rho, eps = group["rho"], group["eps"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        square_avg = torch.addcmul(state["square_avg"] * rho, grad, grad, value=1 - rho)
        delta = (state["acc_delta"] + eps).sqrt() / (square_avg + eps).sqrt() * grad
        acc_delta = torch.addcmul(state["acc_delta"] * rho, delta, delta, value=1 - rho)
        return add_scaled(param, delta, -scalars["lr"]), {"square_avg": square_avg, "acc_delta": acc_delta}
