"""Stochastic gradient descent with momentum: what ``torch.optim.SGD.step()`` does.

With gradient g, parameter p and momentum buffer b (all of one shape), weight decay λ, momentum μ, dampening τ:

    g ← g + λ p
    b ← g                       on the first step (the dampening does not apply to it)
    b ← μ b + (1 − τ) g         later
    g ← g + μ b                 with nesterov
    g ← b                       without
    p ← p − lr · g

Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning". Like torch, and unlike
the paper, the lr multiplies the buffer when it is used and not when it is filled, so a change of lr acts at once on
the whole buffer; and the Nesterov form evaluates the gradient at p instead of at p + μ b.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from trainloop.manual.optim.base import Group, Optimizer, State


class SGD(Optimizer):
    """Step down the gradient; bit-identical to ``torch.optim.SGD(foreach=False, fused=False)`` on the CPU.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        momentum: μ, ≥ 0; 0 keeps no buffer.
        dampening: τ.
        weight_decay: λ, ≥ 0.
        nesterov: look ahead along the momentum.

    Raises:
        ValueError: a hyper-parameter is out of range, or nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, found {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum > 0 and dampening 0, found {momentum} and {dampening}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    def update(self, param: Parameter, grad: Tensor, state: State, group: Group) -> None:
        """Apply the formula at the top of this file; ``add(a, b, alpha)`` is a + alpha · b, rounded once."""
        momentum = group["momentum"]
        if group["weight_decay"] != 0:
            grad = torch.add(grad, param.data, alpha=group["weight_decay"])
        if momentum != 0:
            if "momentum_buffer" not in state:
                buffer = grad.clone()
            else:
                buffer = torch.add(state["momentum_buffer"] * momentum, grad, alpha=1 - group["dampening"])
            state["momentum_buffer"] = buffer
            grad = torch.add(grad, buffer, alpha=momentum) if group["nesterov"] else buffer
        # The seed of all this is param.data - lr * param.grad. Written as one add it rounds once, as torch's does.
        param.data = torch.add(param.data, grad, alpha=-group["lr"])
