"""Averaged stochastic gradient descent: what ``torch.optim.ASGD.step()`` does.

With gradient g, parameter p, its mean a (all of one shape; a is zero at first), step size η (the lr at first), averaging rate μ
(1 at first), decay λ₀ (``lambd``), exponent α, start of averaging t₀, weight decay λ and step number t = 1, 2, …:

    g ← −g                      with maximize
    g ← g + λ p
    p ← (1 − λ₀ η) p
    p ← p − η g
    a ← p                       while μ = 1
    a ← a + μ (p − a)           later
    η ← lr / (1 + λ₀ · lr · t)^α
    μ ← 1 / max(1, t − t₀)

η and μ are computed for the step to come, so a change of lr acts one step late. The mean stands in ``state[param]["ax"]``; the
parameters are not replaced by it.

Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the step sizes are those of Xu 2011,
arXiv:1107.2490. Like torch's, η and μ are kept in single precision between the steps, whatever the dtype of p.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalar, Scalars, add_scaled, choose
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative
from trainloop.manual.optim.state_dict import counter


class ASGD(Optimizer):
    """Step with a falling step size and keep the mean of the weights; as ``torch.optim.ASGD(foreach=False)``, bit for bit.

    Args:
        params: parameters, or groups of them.
        lr: first step size, ≥ 0.
        lambd: λ₀, decay of weights and of the step size, ≥ 0.
        alpha: α, exponent of the step size, ≥ 0.
        t0: t₀, steps before the averaging begins.
        weight_decay: λ, ≥ 0.
        foreach: refused, as are ``differentiable`` and ``capturable``.
        maximize: step up the gradient.
        differentiable: refused.
        capturable: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        "lambd": (1e-4, 0.1),
        "alpha": (0.75, 0.3),
        "t0": (1e6, 20.0),
        "weight_decay": (0.0, 0.05),
        "maximize": (False, True),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_not_negative(lr=lr, lambd=lambd, alpha=alpha, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return η = lr, μ = 1 and a mean of zero."""
        return {
            "step": counter(0.0).to(param.device),
            "eta": counter(group["lr"]).to(param.device),
            "mu": counter(1.0).to(param.device),
            "ax": torch.zeros_like(param),
        }

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return η and μ of this step and of the next, and the factor of the decay."""
        lr, lambd, eta, mu = group["lr"], group["lambd"], state["eta"].item(), state["mu"].item()
        return {
            "eta": eta,
            "decay": 1 - lambd * eta,
            "mu": mu,
            "averaging": mu != 1,
            "next_eta": lr / ((1 + lambd * lr * step) ** group["alpha"]),
            "next_mu": 1 / max(1, step - group["t0"]),
        }

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = add_scaled(grad, param, group["weight_decay"])
        param = add_scaled(param * scalars["decay"], grad, -scalars["eta"])
        # A clone, lest the mean be the very tensor that becomes the parameter.
        mean = choose(scalars["averaging"], state["ax"] + (param - state["ax"]) * scalars["mu"], param.clone())
        next_eta, next_mu = (_stored(scalars[f"next_{name}"], state[name]) for name in ("eta", "mu"))
        return param, {"eta": next_eta, "mu": next_mu, "ax": mean}


def _stored(value: Scalar, like: Tensor) -> Tensor:
    """Return a number in the default precision, then as a state of the dtype that it had before (a loaded one may differ)."""
    single = value.to(torch.get_default_dtype()) if isinstance(value, Tensor) else torch.tensor(value)
    return single.to(like)
