"""Resilient backpropagation: what ``torch.optim.Rprop.step()`` does.

With gradient g, parameter p, the gradient g′ of the step before, step sizes d (all of one shape; g′ is zero and d the lr at
first), factors η₋ < 1 < η₊ and bounds Γ₋, Γ₊, element by element:

    g ← −g                      with maximize
    d ← η₊ d                    where g · g′ > 0: the same direction twice, so go faster
    d ← η₋ d                    where g · g′ < 0: a minimum was passed, so go slower
    d ← clamp(d, Γ₋, Γ₊)
    g ← 0                       where g · g′ < 0: stand still for one step
    p ← p − d · sign(g)
    g′ ← g

The size of the gradient plays no part, and the lr only says where d begins: a later change of lr changes nothing. The method is
meant for the gradient of all data at once; the noise of small batches turns signs and shrinks d.

Source: Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm". Like
torch, and unlike the paper, a weight stands still after a change of sign instead of taking its last step back (the form known
as iRprop−, Igel & Hüsken 2000).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative, check_number
from trainloop.manual.optim.state_dict import counter


class Rprop(Optimizer):
    """Step by the sign of the gradient alone; bit-identical to ``torch.optim.Rprop(foreach=False)``.

    Args:
        params: parameters, or groups of them.
        lr: first step size of every element, ≥ 0.
        etas: η₋ in (0, 1) and η₊ > 1.
        step_sizes: smallest and largest step size.
        capturable: refused, as are ``foreach`` and ``differentiable``.
        foreach: refused.
        maximize: step up the gradient.
        differentiable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "etas": ((0.5, 1.2), (0.9, 2.0)),
        "step_sizes": ((1e-6, 50.0), (1e-3, 0.02)),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=lr)
        for index in (0, 1):
            check_number(f"etas[{index}]", etas[index])
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"etas must satisfy 0 < etas[0] < 1 < etas[1], found {etas[0]} and {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return no earlier gradient, and step sizes at the lr."""
        return {
            "step": counter(0.0),
            "prev": torch.zeros_like(param),
            "step_size": torch.full_like(param, group["lr"]),
        }

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return nothing: what changes from step to step is in the state."""
        del group, state, step
        return {}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        del scalars
        (eta_minus, eta_plus), (smallest, largest) = group["etas"], group["step_sizes"]
        if group["maximize"]:
            grad = -grad
        agreement = grad * state["prev"]
        factor = torch.where(agreement > 0, eta_plus, torch.ones_like(agreement))
        factor = torch.where(agreement < 0, eta_minus, factor)
        step_size = (state["step_size"] * factor).clamp(smallest, largest)
        grad = torch.where(agreement < 0, 0, grad)
        return torch.addcmul(param, grad.sign(), step_size, value=-1), {"prev": grad, "step_size": step_size}
