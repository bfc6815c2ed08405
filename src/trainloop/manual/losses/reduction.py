"""What most losses end with: leave the elements as they are, add them up, or take their mean.

Legend: l loss of each element, w weight of each element, g grad_output.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

REDUCTIONS: dict[str, int] = {"none": 0, "mean": 1, "sum": 2}
"""Name → the number that the library's kernels know it by."""


def check_reduction(reduction: str) -> None:
    """Check the name of a reduction.

    Raises:
        ValueError: it is not in :data:`REDUCTIONS`.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction (={reduction!r}) must be one of {', '.join(REDUCTIONS)}")


def broadcast(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in their common shape, and warn if their shapes differ, which is mostly a mistake.

    Raises:
        RuntimeError: the shapes have no common shape.
    """
    if input.shape != target.shape:
        warnings.warn(
            f"input has shape {tuple(input.shape)} and target {tuple(target.shape)}: each is repeated to their common shape, "
            "which is seldom what a loss means",
            stacklevel=3,
        )
    return expanded(input, target)


def expanded(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in their common shape.

    Raises:
        RuntimeError: the shapes have no common shape.
    """
    if input.shape == target.shape:
        return input, target
    common = (input.detach() + target.detach()).shape
    return input.expand(common), target.expand(common)


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """Return l, Σ l, or Σ l / number of elements (nan if there are none).

    Args:
        loss: of each element, any shape.
        reduction: ``none``, ``sum`` or ``mean``.

    Raises:
        ValueError: unknown reduction.
    """
    check_reduction(reduction)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()


def reduce_vjp(grad_output: Tensor, shape: torch.Size, reduction: str) -> Tensor:
    """Return grad_l = g, of shape ``shape``; g / number of elements for a mean."""
    if reduction == "none":
        return grad_output
    grad_loss = grad_output.expand(shape)
    return grad_loss / max(shape.numel(), 1) if reduction == "mean" else grad_loss


def weighted_reduce(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Return w · l, Σ w · l, or Σ w · l / Σ w; without weights the same as :func:`reduce`.

    Args:
        loss: of each element, any shape.
        weight: of each element, shape of ``loss`` or one that broadcasts to it.
        reduction: ``none``, ``sum`` or ``mean``.
    """
    if weight is None or reduction != "mean":
        return reduce(loss if weight is None else loss * weight, reduction)
    return (loss * weight).sum() / weight.sum()


def weighted_reduce_vjp(
    grad_output: Tensor, loss: Tensor, weight: Tensor | None, reduction: str
) -> tuple[Tensor, Tensor | None]:
    """Return (grad_l, grad_w).

    grad_l = g w and grad_w = g l, each divided by Σ w for a mean, where grad_w has a second part: −g (Σ w l) / (Σ w)².
    """
    if weight is None:
        return reduce_vjp(grad_output, loss.shape, reduction), None
    if reduction != "mean":
        grad = reduce_vjp(grad_output, loss.shape, reduction)
        return grad * weight, grad * loss
    total = weight.sum()
    grad = (grad_output / total).expand(loss.shape)
    through_total = -grad_output * (((loss * weight).sum() / total) / total)
    return grad * weight, grad * loss + through_total


def check_weight(input: Tensor, weight: Tensor | None, name: str = "weight") -> None:
    """Check that a weight can be spread over the elements of the input.

    Raises:
        ValueError: it can't.
    """
    if weight is None:
        return
    try:
        weight.detach().expand(input.shape)
    except RuntimeError as error:
        raise ValueError(
            f"{name} has shape {tuple(weight.shape)}, which does not broadcast to the input's, {tuple(input.shape)}"
        ) from error


def check_same_shape(input: Tensor, other: Tensor | None, name: str) -> None:
    """Check that an argument has the shape of the input.

    Raises:
        ValueError: it has not.
    """
    if other is not None and other.shape != input.shape:
        raise ValueError(f"{name} has shape {tuple(other.shape)}, expected that of the input, {tuple(input.shape)}")
