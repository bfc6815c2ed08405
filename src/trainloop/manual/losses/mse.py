"""Mean squared error: l = (x − t)².

Legend: x input, t target, w weight, l loss of each element, g grad_output; all of one shape, any shape.
"""

from __future__ import annotations

from torch import Tensor

from trainloop.manual.losses.reduction import broadcast, check_same_shape, weighted_reduce, weighted_reduce_vjp


def mse_loss(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Compute the squared error.

    l = (x − t)²;  none: w l,  sum: Σ w l,  mean: Σ w l / Σ w, where w = 1 if there is no weight.

    Args:
        input: x, any shape, floating point.
        target: t, shape of x (others are broadcast, with a warning).
        weight: w, shape of x.
        reduction: ``none``, ``mean`` or ``sum``.

    Returns:
        The loss, shape of x for ``none``, else ().

    Raises:
        ValueError: the weight's shape is not that of x, or an unknown reduction.
        RuntimeError: x and t have no common shape.

    Source: Gauss 1809, Theoria motus, § 179; ``torch.nn.functional.mse_loss``.
    """
    input_, target_ = broadcast(input, target)
    check_same_shape(input, weight, "weight")
    difference = input_ - target_
    return weighted_reduce(difference * difference, weight, reduction)


def mse_loss_vjp(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    *,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return (grad_x, grad_t, grad_w).

    grad_l = g, spread as the reduction asks;  grad_x = grad_l · 2 (x − t);  grad_t = −grad_x;  grad_w = grad_l · l.
    """
    difference = input - target
    grad_loss, grad_weight = weighted_reduce_vjp(grad_output, difference * difference, weight, reduction)
    grad_input = grad_loss * (2 * difference)
    return grad_input, -grad_input if needs[1] else None, grad_weight
