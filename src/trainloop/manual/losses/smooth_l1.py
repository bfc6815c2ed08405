"""Two losses that are a parabola near zero and straight lines outside: smooth L1 and Huber's.

With d = x − t they are the same but for a factor: huber(d, δ) = δ · smooth_l1(d, β = δ).

Legend: x input, t target, w weight, l loss of each element, g grad_output; all of one shape, any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.losses.l1 import l1_loss, l1_loss_vjp
from trainloop.manual.losses.reduction import broadcast, check_same_shape, reduce, reduce_vjp


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Compute the smooth L1 loss.

    d = x − t;  l = ½ d² / β where |d| < β, else |d| − ½ β.  β = 0 gives the absolute error.

    Args:
        input: x, any shape, floating point.
        target: t, shape of x (others are broadcast, with a warning).
        reduction: ``none``, ``mean`` or ``sum``.
        beta: where the parabola ends, ≥ 0.

    Returns:
        The loss, shape of x for ``none``, else ().

    Raises:
        ValueError: beta is negative, or an unknown reduction.
        RuntimeError: x and t have no common shape.

    Source: Girshick 2015, arXiv:1504.08083, equation 3 (β = 1); ``torch.nn.functional.smooth_l1_loss``.
    """
    if beta < 0:
        raise ValueError(f"beta (={beta}) must be at least 0")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    input_, target_ = broadcast(input, target)
    distance = (input_ - target_).abs()
    return reduce(torch.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta), reduction)


def smooth_l1_loss_vjp(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    reduction: str,
    beta: float,
    *,
    needs: tuple[bool, ...] = (True, True),
) -> tuple[Tensor, Tensor | None]:
    """Return (grad_x, grad_t): grad_x = grad_l · d / β, cut off at ±1 (the slope of the lines);  grad_t = −grad_x."""
    if beta == 0:
        return l1_loss_vjp(grad_output, input, target, None, reduction, needs=needs)[:2]
    slope = ((input - target) / beta).clamp(-1, 1)
    grad_input = reduce_vjp(grad_output, slope.shape, reduction) * slope
    return grad_input, -grad_input if needs[1] else None


def huber_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Compute Huber's loss.

    d = x − t;  l = ½ d² where |d| ≤ δ, else δ (|d| − ½ δ);  none: w l,  sum: Σ w l,  mean: Σ w l / number of elements
    (which for :func:`mse_loss` would be Σ w l / Σ w; torch has it so).

    Args:
        input: x, any shape, floating point.
        target: t, shape of x (others are broadcast, with a warning).
        reduction: ``none``, ``mean`` or ``sum``.
        delta: where the parabola ends, > 0.
        weight: w, shape of x.

    Returns:
        The loss, shape of x for ``none``, else ().

    Raises:
        ValueError: delta is not positive, the weight's shape is not that of x, or an unknown reduction.
        RuntimeError: x and t have no common shape.

    Source: Huber 1964, "Robust estimation of a location parameter"; ``torch.nn.functional.huber_loss``.
    """
    if delta <= 0:
        raise ValueError(f"delta (={delta}) must be above 0")
    input_, target_ = broadcast(input, target)
    check_same_shape(input, weight, "weight")
    loss = _huber(input_ - target_, delta)
    return reduce(loss if weight is None else loss * weight, reduction)


def huber_loss_vjp(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    delta: float,
    *,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return (grad_x, grad_t, grad_w): grad_x = grad_l · w · d, d cut off at ±δ;  grad_t = −grad_x;  grad_w = grad_l · l."""
    difference = input - target
    grad_loss = reduce_vjp(grad_output, difference.shape, reduction)
    grad_weight = None if weight is None else grad_loss * _huber(difference, delta)
    grad_input = (grad_loss if weight is None else grad_loss * weight) * difference.clamp(-delta, delta)
    return grad_input, -grad_input if needs[1] else None, grad_weight


def _huber(difference: Tensor, delta: float) -> Tensor:
    distance = difference.abs()
    return torch.where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))
