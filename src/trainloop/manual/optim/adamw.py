"""Adam with decoupled weight decay: what ``torch.optim.AdamW.step()`` does.

With gradient g, parameter p, first moment m, second moment v (all of one shape, zero at first) and step number t = 1, 2, …:

    p ← p · (1 − lr · λ)
    m ← m + (1 − β₁)(g − m)
    v ← β₂ v + (1 − β₂) g²
    p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

The lines that compute it are those of ``adam.py``, where the decay is the only difference: Adam adds λ p to the gradient, so
that a weight with large gradients decays less; here every weight decays alike.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2. Like torch, and unlike the paper, the decay is
multiplied by the lr, and eps is added after the bias correction of √v.
"""

from __future__ import annotations

from typing import ClassVar

from trainloop.manual.optim.adam import Adam
from trainloop.manual.optim.base import Optimizer, Options, Params


class AdamW(Adam):
    """Adam that shrinks every weight alike; bit-identical to ``torch.optim.AdamW(foreach=False, fused=False)``.

    Args:
        params: parameters, or groups of them.
        lr: step size, ≥ 0.
        betas: β₁ and β₂, floats in [0, 1).
        eps: added to the root of the second moment, ≥ 0.
        weight_decay: λ, ≥ 0.
        amsgrad: divide by the largest second moment so far.
        maximize: step up the gradient.
        foreach: refused, as are ``capturable``, ``differentiable`` and ``fused``.
        capturable: refused.
        differentiable: refused.
        fused: refused.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range.
    """

    options: ClassVar[Options] = {
        name: values for name, values in Adam.options.items() if name != "decoupled_weight_decay"
    }
    # A state saved by Adam keeps its decay out of the gradient all the same once it is AdamW's.
    kept_keys = (*Optimizer.kept_keys, "decoupled_weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
