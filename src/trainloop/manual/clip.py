"""Clipping of gradients: what ``torch.nn.utils.clip_grad_norm_`` and ``clip_grad_value_`` do.

By norm, all gradients are one long vector g; if it is longer than allowed, it is shortened and keeps its direction:

    n = ‖(‖g₁‖, ‖g₂‖, …)‖                  the norm of the tensors' norms is the norm of the whole
    gᵢ ← gᵢ · min(1, max_norm / (n + 10⁻⁶))

By value, each element for itself, so that the direction changes:

    g ← min(max(g, −clip_value), clip_value)

Both leave NaN where it is. An infinite gradient makes n infinite and the factor 0: finite gradients become 0, infinite ones NaN
(∞ · 0); one NaN makes every gradient NaN. ``error_if_nonfinite`` asks for an error instead.

Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", arXiv:1211.5063,
algorithm 1. Like torch, and unlike the paper, 10⁻⁶ is added to n, so a gradient of just the allowed norm is shortened by a
millionth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

SMALLEST_NORM = 1e-6
"""added to the norm, lest a gradient of zero be divided by zero"""


def total_norm(grads: Sequence[Tensor], norm_type: float = 2.0) -> Tensor:
    """Return the norm of all gradients taken as one vector: (Σ |g|^p)^(1/p), or max |g| for p = ∞.

    Args:
        grads: any shapes, of one dtype and device.
        norm_type: p, any number or ∞.

    Returns:
        shape (); 0 when there is no gradient.
    """
    if not grads:
        return torch.tensor(0.0)
    norms = [torch.linalg.vector_norm(grad, norm_type) for grad in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    return norm


def clip_factor(norm: Tensor, max_norm: float) -> Tensor:
    """Return what to multiply gradients of this norm by: min(1, max_norm / (norm + 10⁻⁶)).

    Args:
        norm: shape ().
        max_norm: largest norm allowed.

    Returns:
        shape ().
    """
    # torch divides a number by a tensor as the number times the reciprocal, which rounds twice; so does this.
    return ((norm + SMALLEST_NORM).reciprocal() * max_norm).clamp(max=1.0)


@torch.no_grad()
def clip_grad_norm(
    params: Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Shorten the gradients, taken as one vector, to a norm of ``max_norm``; bit-identical to ``clip_grad_norm_``.

    Args:
        params: any shapes; those without a gradient are left out.
        max_norm: largest norm allowed.
        norm_type: p of the norm, ∞ for the largest element.
        error_if_nonfinite: refuse a norm of NaN or ∞.

    Returns:
        the norm before clipping, shape ().

    Raises:
        RuntimeError: the norm is not finite, and ``error_if_nonfinite``; the gradients are as they were.
    """
    pairs = [(param, param.grad) for param in params if param.grad is not None]
    norm = total_norm([grad for _, grad in pairs], float(norm_type))
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError(
            f"the norm of order {float(norm_type)} of all gradients is {norm.item()}, so it cannot be clipped; "
            "error_if_nonfinite=False scales them all the same"
        )
    factor = clip_factor(norm, max_norm)
    for param, grad in pairs:
        param.grad = grad * factor
    return norm


@torch.no_grad()
def clip_grad_value(params: Iterable[Tensor], clip_value: float) -> None:
    """Bring every element of the gradients into [−clip_value, clip_value]; bit-identical to ``clip_grad_value_``.

    Args:
        params: any shapes; those without a gradient are left out.
        clip_value: largest size allowed.
    """
    for param in params:
        if param.grad is not None:
            param.grad = param.grad.clamp(min=-clip_value).clamp(max=clip_value)
