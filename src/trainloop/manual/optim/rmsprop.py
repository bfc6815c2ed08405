"""RMSprop: what ``torch.optim.RMSprop.step()`` does.

With gradient g, parameter p, running means v of g² and a of g, momentum buffer b (all of one shape; v, a and b are zero at
first), weight decay λ, momentum μ:

    g ← −g                      with maximize
    g ← g + λ p
    v ← α v + (1 − α) g²
    a ← a + (1 − α)(g − a)      with centered
    d ← √v + eps                without
    d ← √(v − a²) + eps         with centered: v − a² is the variance of g
    p ← p − lr · g / d          without momentum
    b ← μ b + g / d             with momentum
    p ← p − lr · b

Source: Hinton 2012, lecture 6e of "Neural networks for machine learning"; the centered form from Graves 2013, arXiv:1308.0850,
section 4.2. Like torch, and unlike Graves and TensorFlow, eps is added outside the root. Rounding can make v − a² negative
where a gradient hardly varies and eps is small; its root is then NaN, as in torch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled, addcdiv_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative
from trainloop.manual.optim.state_dict import counter


class RMSprop(Optimizer):
    """Divide by the root of the mean square; bit-identical to ``torch.optim.RMSprop(foreach=False)``.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        alpha: α, ≥ 0.
        eps: added to the root, ≥ 0.
        weight_decay: λ, ≥ 0.
        momentum: μ, ≥ 0; 0 keeps no buffer.
        centered: divide by the standard deviation instead of the root of the mean square.
        capturable: refused, as are ``foreach`` and ``differentiable``.
        foreach: refused.
        maximize: step up the gradient.
        differentiable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "alpha": (0.99, 0.5),
        "eps": (1e-8, 1e-3),
        "weight_decay": (0.0, 0.05),
        "momentum": (0.0, 0.9),
        "centered": (False, True),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return zero means, and a zero buffer where there is momentum."""
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return {"step": counter(0.0), **{name: torch.zeros_like(param) for name in names}}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the lr."""
        del state, step
        return {"lr": group["lr"]}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        alpha = group["alpha"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        variance = torch.addcmul(state["square_avg"] * alpha, grad, grad, value=1 - alpha)
        new_state = {"square_avg": variance}
        if group["centered"]:
            mean = new_state["grad_avg"] = torch.lerp(state["grad_avg"], grad, 1 - alpha)
            variance = torch.addcmul(variance, mean, mean, value=-1)
        denominator = variance.sqrt() + group["eps"]
        if group["momentum"] == 0:
            return addcdiv_scaled(param, grad, denominator, -scalars["lr"]), new_state
        buffer = torch.addcdiv(state["momentum_buffer"] * group["momentum"], grad, denominator)
        return add_scaled(param, buffer, -scalars["lr"]), {**new_state, "momentum_buffer": buffer}
