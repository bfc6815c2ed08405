"""Stochastic gradient descent with momentum: what ``torch.optim.SGD.step()`` does.

With gradient g, parameter p and momentum buffer b (all of one shape), weight decay λ, momentum μ, dampening τ:

    g ← −g                      with maximize
    g ← g + λ p
    b ← g                       on the first step (the dampening does not apply to it)
    b ← μ b + (1 − τ) g         later
    g ← g + μ b                 with nesterov
    g ← b                       without
    p ← p − lr · g

The first step needs no line of its own: b begins as −0, and its share of g is 1 instead of 1 − τ. Minus zero is the number
that changes nothing when it is added (0 + −0 would be 0), so b becomes g to the last bit.

Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning". Like torch, and unlike
the paper, the lr multiplies the buffer when it is used and not when it is filled, so a change of lr acts at once on
the whole buffer; and the Nesterov form evaluates the gradient at p instead of at p + μ b.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative


class SGD(Optimizer):
    """Step down the gradient; bit-identical to ``torch.optim.SGD(foreach=False, fused=False)`` on the CPU.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        momentum: μ, ≥ 0; 0 keeps no buffer.
        dampening: τ.
        weight_decay: λ, ≥ 0.
        nesterov: look ahead along the momentum.
        maximize: step up the gradient.
        foreach: refused, as are ``differentiable`` and ``fused``.
        differentiable: refused.
        fused: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range, or nesterov without momentum or with dampening.
    """

    options: ClassVar[Options] = {
        "momentum": (0.0, 0.9),
        "dampening": (0.0, 0.3),
        "weight_decay": (0.0, 0.05),
        "nesterov": (False, True),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum > 0 and dampening 0, found {momentum} and {dampening}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return an empty momentum buffer, where there is momentum."""
        return {"momentum_buffer": torch.full_like(param, -0.0)} if group["momentum"] != 0 else {}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the lr, and the share of the gradient that enters the buffer."""
        del state
        return {"lr": group["lr"], "grad_share": 1.0 if step == 1 else 1.0 - group["dampening"]}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file; ``add_scaled(a, b, s)`` is a + s · b, rounded once."""
        momentum, new_state = group["momentum"], {}
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        if momentum != 0:
            buffer = add_scaled(state["momentum_buffer"] * momentum, grad, scalars["grad_share"])
            new_state = {"momentum_buffer": buffer}
            grad = add_scaled(grad, buffer, momentum) if group["nesterov"] else buffer
        # The seed of all this is param - lr * grad. Written as one add it rounds once, as torch's does.
        return add_scaled(param, grad, -scalars["lr"]), new_state
