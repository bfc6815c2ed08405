"""Muon: what ``torch.optim.Muon.step()`` does, in the parameter's own precision and for convolutions too.

With gradient G, parameter P and momentum buffer B (all of one shape; B is zero at first), each seen as a matrix of A rows and
F columns, momentum μ, weight decay λ:

    B ← B + (1 − μ)(G − B)
    U ← G + μ (B − G)           with nesterov
    U ← B                       without
    O = NS(U)                   nearly the orthogonal matrix W Zᵀ of the singular value decomposition U = W S Zᵀ
    P ← (1 − lr · λ) P
    P ← P − lr · r(A, F) · O

NS is ``ns_steps`` times a quintic, on U divided by its Frobenius norm, so that all singular values begin in (0, 1]:

    X ← a X + (b Y + c Y²) X    with Y = X Xᵀ: each singular value s becomes a s + b s³ + c s⁵

The default a, b, c make small s grow fastest. They do not converge to 1: after five rounds every s that began above 0.003
lies between 0.68 and 1.21, which is near enough.

r, by ``adjust_lr_fn``: original (or None) √max(1, A / F); match_rms_adamw 0.2 √max(A, F); spectral_unclamped √(A / F).

A weight of more than two dimensions is seen as a matrix with the first as rows and all others as columns: a convolution's
(O, C, K, L) as (O, C·K·L), one row for each filter. Parameters of fewer dimensions (biases, norms) are refused: they have no
singular values; another optimizer takes them.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon);
match_rms_adamw from Liu et al. 2025, arXiv:2502.16982; spectral_unclamped from Bernstein 2025, "Deriving Muon". Like torch, and
unlike the formula in its documentation, B is a running mean and not a sum; NS hardly notices, for it divides by the norm.
Unlike torch, NS runs in the parameter's own precision instead of bfloat16, so that the bits of the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, add_scaled
from trainloop.manual.optim.base import Group, Optimizer, Options, Params, State
from trainloop.manual.optim.checks import check_not_negative

ADJUST_LR: dict[str, Callable[[int, int], float]] = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / columns),
}
"""factor on the lr, from the shape of the weight seen as a matrix"""


class Muon(Optimizer):
    """Step along the orthogonal matrix next to the mean gradient; ``torch.optim.Muon`` without its rounding to bfloat16.

    Args:
        params: parameters of two dimensions or more, or groups of them.
        lr: step size, ≥ 0.
        weight_decay: λ, ≥ 0.
        momentum: μ, ≥ 0.
        nesterov: look ahead along the momentum.
        ns_coefficients: a, b and c of the quintic.
        eps: smallest norm that a gradient is divided by.
        ns_steps: rounds of the quintic, below 100.
        adjust_lr_fn: a name of ``ADJUST_LR``; None means original.

    Raises:
        TypeError: a hyper-parameter is a tensor.
        ValueError: a hyper-parameter is out of range, or a parameter has fewer than two dimensions.
    """

    fewest_dims = 2
    deviation_reason = "torch's Muon rounds to bfloat16 and takes matrices only"
    options: ClassVar[Options] = {
        "weight_decay": (0.1, 0.0),
        "momentum": (0.95, 0.5),
        "nesterov": (True, False),
        "ns_steps": (5, 2),
        "adjust_lr_fn": (None, "original", "match_rms_adamw", "spectral_unclamped"),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn is not None and adjust_lr_fn not in ADJUST_LR:
            raise ValueError(f"adjust_lr_fn must be None or one of {', '.join(ADJUST_LR)}, found {adjust_lr_fn!r}")
        if ns_steps >= 100:
            raise ValueError(f"ns_steps must be < 100, found {ns_steps}")
        if len(ns_coefficients) != 3:
            raise ValueError(f"ns_coefficients must be three numbers, found {ns_coefficients}")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Take one more group of parameters of two dimensions or more.

        Args:
            param_group: as for every optimizer.

        Raises:
            TypeError: as for every optimizer.
            ValueError: as for every optimizer, or a parameter has fewer than two dimensions.
        """
        super().add_param_group(param_group)
        flat = [tuple(param.shape) for param in self.param_groups[-1]["params"] if param.ndim < self.fewest_dims]
        if flat:
            self.param_groups.pop()
            raise ValueError(
                f"Muon needs parameters of two dimensions or more, found one of shape {flat[0]}: "
                "give biases and norms to another optimizer"
            )

    def init_state(self, param: Tensor, group: Group) -> State:
        """Return a zero momentum buffer."""
        del group
        return {"momentum_buffer": torch.zeros_like(param)}

    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the lr, in double precision also when captured, and 1 − lr · λ."""
        del state, step
        lr = group["lr"]
        return {"lr": torch.tensor(lr, dtype=torch.float64), "decay": 1 - lr * group["weight_decay"]}

    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Apply the formula at the top of this file."""
        momentum = group["momentum"]
        buffer = torch.lerp(state["momentum_buffer"], grad, 1 - momentum)
        update = torch.lerp(grad, buffer, momentum) if group["nesterov"] else buffer
        matrix_AF = orthogonalized(update.flatten(1), group["ns_coefficients"], group["ns_steps"], group["eps"])
        step_size = torch.as_tensor(scalars["lr"]) * ADJUST_LR[group["adjust_lr_fn"] or "original"](*matrix_AF.shape)
        decayed = param * scalars["decay"]
        return add_scaled(decayed, matrix_AF.reshape(param.shape), -step_size.to(param)), {"momentum_buffer": buffer}


def orthogonalized(matrix_AF: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Bring every singular value near 1 by the quintic at the top of this file.

    Args:
        matrix_AF: A rows, F columns, any floating-point dtype.
        coefficients: a, b and c.
        steps: rounds.
        eps: smallest norm to divide by.

    Returns:
        shape (A, F), the dtype of ``matrix_AF``.
    """
    a, b, c = coefficients
    # X Xᵀ is smallest when X is the wide one of the two; the singular values are the same.
    tall = matrix_AF.size(0) > matrix_AF.size(1)
    x = matrix_AF.T if tall else matrix_AF
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        y = x @ x.T
        x = torch.addmm(x, torch.addmm(y, y, y, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
