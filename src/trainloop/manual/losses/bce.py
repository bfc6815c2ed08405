"""Binary cross entropy, of logits and of probabilities: each element is a yes or no of its own.

Legend: x input, t target, w weight, p weight of the positives, σ(x) = 1 / (1 + e^−x), l loss of each element, g grad_output; x
and t of one shape, any shape; w and p broadcast to it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.losses.reduction import check_same_shape, check_weight, reduce

LOWEST_LOG = -100.0
"""Logarithms are cut off here, so that a certain and wrong answer costs 100 and not infinity."""

SMALLEST_VARIANCE = 1e-12
"""Floor of the denominator x (1 − x) of the gradient."""


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Compute the binary cross entropy of logits.

    l = −w [p t log σ(x) + (1 − t) log(1 − σ(x))] = w [(1 − t) x − (1 + (p − 1) t) log σ(x)]: the second way never takes the
    logarithm of a rounded zero, since log(1 − σ(x)) = log σ(x) − x.

    Args:
        input: x, logits of any shape, floating point.
        target: t, probabilities between 0 and 1, shape of x.
        weight: w, of each element; broadcasts to the shape of x.
        pos_weight: p, weight of the positives; broadcasts to the shape of x.
        reduction: ``none``, ``mean`` or ``sum``; the mean is over the number of elements, weighted or not.

    Returns:
        The loss, shape of x for ``none``, else ().

    Raises:
        ValueError: the shape of t, w or p does not fit, or an unknown reduction.

    Source: Bishop 2006, equation 4.90; ``torch.nn.functional.binary_cross_entropy_with_logits``.
    """
    check_same_shape(input, target, "target")
    check_weight(input, weight)
    check_weight(input, pos_weight, "pos_weight")
    log_probs = F.logsigmoid(input)
    if pos_weight is not None:
        log_probs = log_probs * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input - log_probs
    return reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits_vjp(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    reduction: str,
    *,
    needs: tuple[bool, ...] = (True, True),
) -> tuple[Tensor, Tensor | None]:
    """Return (grad_x, grad_t).

    grad_x = g w [(1 − t + p t) σ(x) − p t], without p: g w [σ(x) − t];
    grad_t = g w [log σ(−x) − p log σ(x)], without p: −g w x.
    """
    if pos_weight is None:
        slope = input.sigmoid() - target
    else:
        positive = pos_weight * target
        slope = (positive + 1 - target) * input.sigmoid() - positive
    grad_input = _scaled(slope * grad_output, weight, reduction)
    if not needs[1]:
        return grad_input, None
    slope_of_target = -input if pos_weight is None else F.logsigmoid(-input) - F.logsigmoid(input) * pos_weight
    return grad_input, _scaled(slope_of_target * grad_output, weight, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Compute the binary cross entropy of probabilities; logits are safer, see the function above.

    l = −w [t log x + (1 − t) log(1 − x)], where no logarithm is below −100.

    Args:
        input: x, probabilities between 0 and 1, any shape.
        target: t, probabilities between 0 and 1, shape of x.
        weight: w, of each element; broadcasts to the shape of x.
        reduction: ``none``, ``mean`` or ``sum``; the mean is over the number of elements, weighted or not.

    Returns:
        The loss, shape of x for ``none``, else ().

    Raises:
        ValueError: the shape of t or w does not fit, or an unknown reduction.
        RuntimeError: x or t has an element outside [0, 1], or nan.

    Source: ``torch.nn.functional.binary_cross_entropy``, whose documentation explains the −100.
    """
    check_same_shape(input, target, "target")
    check_weight(input, weight)
    for name, tensor in (("input", input), ("target", target)):
        check_probabilities(name, tensor)
    log_yes = input.log().clamp(min=LOWEST_LOG)
    log_no = torch.log1p(-input).clamp(min=LOWEST_LOG)
    loss = (target - 1) * log_no - target * log_yes
    return reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_vjp(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    *,
    needs: tuple[bool, ...] = (True, True),
) -> tuple[Tensor, Tensor | None]:
    """Return (grad_x, grad_t).

    grad_x = g w (x − t) / (x (1 − x)), the denominator at least 1e−12;  grad_t = −g w log(x / (1 − x)).
    """
    variance = ((1 - input) * input).clamp(min=SMALLEST_VARIANCE)
    grad_input = grad_output * (input - target) / variance
    grad_target = binary_cross_entropy_target_vjp(grad_output, input, weight, reduction) if needs[1] else None
    return _scaled(grad_input, weight, reduction), grad_target


def binary_cross_entropy_target_vjp(
    grad_output: Tensor, input: Tensor, weight: Tensor | None, reduction: str
) -> Tensor:
    """Return grad_t = −g w log(x / (1 − x)); it stands alone because no kernel of the library computes it."""
    return _scaled(-input.logit() * grad_output, weight, reduction)


def check_probabilities(name: str, tensor: Tensor) -> None:
    """Check that every element is in [0, 1], without a branch on what the tensor holds.

    Raises:
        RuntimeError: an element is not.
    """
    inside = ((tensor >= 0) & (tensor <= 1)).detach()
    try:
        torch._assert_async(inside.all(), "outside")
    except RuntimeError as error:
        found = tensor.detach()[~inside].flatten()[0].item()
        raise RuntimeError(f"all elements of {name} should be between 0 and 1, found {found}") from error


def _scaled(grad: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Multiply by the weight, then divide by the number of elements for a mean: in torch's order, hence its bits."""
    if weight is not None:
        grad = grad * weight
    return grad / max(grad.numel(), 1) if reduction == "mean" else grad
