"""The losses of class labels as a model calls them: cross entropy and negative log likelihood.

The ``formula`` form calls ``losses/``; the ``aten`` form calls the kernels that autograd calls, in its order. For cross entropy
that is log_softmax, then nll_loss, or for probabilities −Σ q log p, and one more sum for label smoothing.

Legend: N batch, K classes, D any number of further dimensions; ε label_smoothing, w class weight, g grad_output.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual import losses
from trainloop.manual.examples import Index, T, call
from trainloop.manual.losses.cross_entropy import (
    check_arguments,
    cross_entropy_of_log_probs,
    cross_entropy_vjp,
    has_probabilities,
    soft_labels,
)
from trainloop.manual.losses.labels import check_labels, class_dim, label_errors, weight_over_classes
from trainloop.manual.losses.nll import nll_loss_vjp
from trainloop.manual.losses.reduction import REDUCTIONS, check_reduction
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.rules.loss_of_elements import LOSS_OF_ELEMENTS, reduction_of


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """l = −w[y] · log_probs[y]; saves the labels and the weights."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = losses.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    return output, (input, target, weight, ignore_index, reduction)


def nll_loss_aten(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel; saves the sum of the weights too."""
    call_of = NllCall(target, weight, ignore_index, reduction_of(size_average, reduce, reduction))
    output, total_weight = call_of.forward(input)
    return output, (input, target, weight, total_weight, ignore_index, call_of.reduction)


def nll_loss_vjp_aten(
    grad_output: Tensor,
    log_probs: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    total_weight: Tensor,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """The same by the library's kernel."""
    return NllCall(labels, weight, ignore_index, reduction).vjp(grad_output, log_probs, total_weight)


class NllCall(NamedTuple):
    """A call of the library's two kernels of nll_loss, one for (K,) and (N, K), one for (N, K, H, W) that serves all others.

    Args:
        labels: shape (N, D).
        weight: shape (K,), or None.
        ignore_index: a label that counts as none.
        reduction: its name.
    """

    labels: Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: str

    def forward(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the sum of the weights of the labels."""
        check_reduction(self.reduction)
        check_labels(log_probs, self.labels, self.weight)
        flat = log_probs.dim() <= 2
        kernel = torch.ops.aten.nll_loss_forward if flat else torch.ops.aten.nll_loss2d_forward
        with label_errors(log_probs, self.labels, self.ignore_index):
            output, total_weight = kernel(self._scores(log_probs), *self._others())
        return output if flat or self.reduction != "none" else output.view(self.labels.shape), total_weight

    def vjp(self, grad_output: Tensor, log_probs: Tensor, total_weight: Tensor) -> Tensor:
        """Return the gradient of the log-probabilities."""
        flat = log_probs.dim() <= 2
        kernel = torch.ops.aten.nll_loss_backward if flat else torch.ops.aten.nll_loss2d_backward
        if not flat and self.reduction == "none":
            grad_output = grad_output.reshape(_image(self.labels.shape, 1))
        grad_input: Tensor = kernel(grad_output, self._scores(log_probs), *self._others(), total_weight)
        return grad_input.view(log_probs.shape)

    def _scores(self, log_probs: Tensor) -> Tensor:
        return log_probs if log_probs.dim() <= 2 else log_probs.reshape(_image(log_probs.shape, 2))

    def _others(self) -> tuple[Tensor, Tensor | None, int, int]:
        labels = self.labels if self.labels.dim() <= 1 else self.labels.reshape(_image(self.labels.shape, 1))
        return labels, self.weight, REDUCTIONS[self.reduction], self.ignore_index


def _image(shape: torch.Size, keep: int) -> tuple[int, ...]:
    """Return the shape of an image one pixel high: what follows the first ``keep`` dimensions is laid in a row."""
    return (*shape[:keep], 1, math.prod(shape[keep:]))


Sums = tuple[Tensor | None, Tensor | None]
"""What the mean divides by, in nll_loss and in the smoothing."""

NO_SUMS: Sums = (None, None)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Saved]:
    """l = −Σ_k q_k log p_k; saves log p."""
    reduction = reduction_of(size_average, reduce, reduction)
    options = (weight, ignore_index, reduction, label_smoothing)
    check_arguments(input, target, *options)
    log_probs = torch.log_softmax(input, class_dim(input))
    return cross_entropy_of_log_probs(log_probs, target, *options), (log_probs, target, *options)


def cross_entropy_aten(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Saved]:
    """The same, operation by operation as the library does it; saves log p, too, and the sums that the mean divides by."""
    reduction = reduction_of(size_average, reduce, reduction)
    options = (weight, ignore_index, reduction, label_smoothing)
    check_arguments(input, target, *options)
    log_probs = torch.log_softmax(input, class_dim(input))
    if has_probabilities(input, target):
        output, sums = _of_probabilities(log_probs, target, weight, reduction, label_smoothing), NO_SUMS
    else:
        output, sums = _of_labels(log_probs, target, *options)
    return output, (log_probs, target, *options, *sums)


def cross_entropy_vjp_aten(
    grad_output: Tensor,
    log_probs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    total_weight: Tensor | None,
    count: Tensor | None,
    *,
    needs: Needs,
) -> tuple[Tensor | None, Tensor | None]:
    """The same by the library's kernels: back through nll_loss and the smoothing, then through log_softmax."""
    grad_target = None
    if total_weight is None:
        grad, grad_target = _of_probabilities_vjp(
            grad_output, log_probs, target, weight, reduction, label_smoothing, needs
        )
    else:
        nll_call = NllCall(target, weight, ignore_index, reduction)
        share = grad_output if label_smoothing == 0 else grad_output * (1 - label_smoothing)
        grad = nll_call.vjp(share, log_probs, total_weight)
        if label_smoothing > 0:
            share = grad_output * (label_smoothing / log_probs.shape[class_dim(log_probs)])
            grad = grad + _smooth_vjp(share, log_probs, nll_call, count)
    if not needs[0]:
        return None, grad_target
    grad_logits: Tensor = torch.ops.aten._log_softmax_backward_data(
        grad, log_probs, class_dim(log_probs), log_probs.dtype
    )
    return grad_logits, grad_target


def _of_labels(
    log_probs: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Tensor, Sums]:
    """Return the loss, and what a mean divides by: in nll_loss, and in the smoothing."""
    nll_call = NllCall(labels, weight, ignore_index, reduction)
    output, total_weight = nll_call.forward(log_probs)
    if label_smoothing == 0:
        return output, (total_weight, None)
    smooth, count = _smooth(log_probs, nll_call)
    num_classes = log_probs.shape[class_dim(log_probs)]
    return (1 - label_smoothing) * output + smooth * (label_smoothing / num_classes), (total_weight, count)


def _smooth(log_probs: Tensor, nll_call: NllCall) -> tuple[Tensor, Tensor | None]:
    """Return −Σ_k w_k log p_k, reduced, and what a mean divides it by."""
    labels, weight, ignore_index, reduction = nll_call
    weighted = log_probs if weight is None else log_probs * weight_over_classes(weight, log_probs)
    ignored = labels == ignore_index
    loss = (-weighted.sum(class_dim(log_probs))).masked_fill(ignored, 0)
    if reduction == "none":
        return loss, None
    if reduction == "sum":
        return loss.sum(), None
    count = (~ignored).sum() if weight is None else weight.gather(0, labels.masked_select(~ignored)).sum()
    return loss.sum() / count, count


def _smooth_vjp(grad_output: Tensor, log_probs: Tensor, nll_call: NllCall, count: Tensor | None) -> Tensor:
    """grad_log_probs = −g w, and 0 where the label is ignored."""
    labels, weight, ignore_index, _ = nll_call
    share = grad_output if count is None else grad_output / count
    grad = -share.expand(labels.shape).masked_fill(labels == ignore_index, 0)
    grad = grad.unsqueeze(class_dim(log_probs)).expand(log_probs.shape)
    return grad if weight is None else grad * weight_over_classes(weight, log_probs)


def _of_probabilities(
    log_probs: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Return −Σ_k w_k q_k log p_k, reduced; the mean is over samples."""
    product = log_probs * soft_labels(log_probs, target, None, label_smoothing)
    if weight is not None:
        product = product * weight_over_classes(weight, log_probs)
    if reduction == "none":
        return -product.sum(class_dim(log_probs))
    return -product.sum() / _num_samples(log_probs) if reduction == "mean" else -product.sum()


def _of_probabilities_vjp(
    grad_output: Tensor,
    log_probs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    label_smoothing: float,
    needs: Needs,
) -> tuple[Tensor, Tensor | None]:
    """grad_log_probs = −g w q,  grad_target = −g w (1 − ε) log p."""
    share = grad_output.unsqueeze(class_dim(log_probs)) if reduction == "none" else grad_output
    share = -(share / _num_samples(log_probs) if reduction == "mean" else share).expand(log_probs.shape)
    if weight is not None:
        share = share * weight_over_classes(weight, log_probs)
    grad_log_probs = share * soft_labels(log_probs, target, None, label_smoothing)
    if not needs[1]:
        return grad_log_probs, None
    grad_target = share * log_probs
    return grad_log_probs, grad_target * (1 - label_smoothing) if label_smoothing > 0 else grad_target


def _num_samples(log_probs: Tensor) -> float:
    """Return N · D; of an empty batch it is nan, so that the mean is, too."""
    num_classes = log_probs.shape[class_dim(log_probs)]
    return log_probs.numel() // num_classes if log_probs.numel() else math.nan


WEIGHT = T(4, low=0.5, high=2, constant=True)
PROBABILITIES = T(5, 4, low=0, high=1)
SHAPES = (
    (T(4), Index(below=4)),
    (T(5, 4), Index(5, below=4)),
    (T(2, 4, 3), Index(2, 3, below=4)),
    (T(2, 4, 3, 2), Index(2, 3, 2, below=4)),
    (T(2, 4, 3, 2, 2), Index(2, 3, 2, 2, below=4)),
)
EVERY_LABEL_LOSS = (
    *(call(*shapes, reduction=reduction) for shapes in SHAPES for reduction in REDUCTIONS),
    *(call(*shapes, WEIGHT, ignore_index=1, reduction=reduction) for shapes in SHAPES[1:] for reduction in REDUCTIONS),
    call(T(300, 10), Index(300, below=10)),
    call(T(0, 4), Index(0, below=4), reduction="sum"),
    call(T(2, 4, 0), Index(2, 0, below=4), reduction="sum"),
)

LOSS: dict[str, Rule] = {
    "cross_entropy": Rule(
        "cross_entropy",
        functions=(F.cross_entropy,),
        wrt=("input", "target"),
        forms={
            "formula": Form(cross_entropy, cross_entropy_vjp),
            "aten": Form(cross_entropy_aten, cross_entropy_vjp_aten, exact=True),
        },
        examples=(
            *EVERY_LABEL_LOSS,
            *(
                call(*shapes, weight, ignore_index=2, reduction=reduction, label_smoothing=0.1)
                for shapes in SHAPES
                for weight in (None, WEIGHT)
                for reduction in REDUCTIONS
            ),
            *(
                call(T(5, 4), PROBABILITIES, weight, reduction=reduction, label_smoothing=label_smoothing)
                for weight in (None, WEIGHT)
                for reduction in REDUCTIONS
                for label_smoothing in (0.0, 0.1)
            ),
            call(T(4), T(4, low=0, high=1)),
            call(T(2, 4, 3), T(2, 4, 3, low=0, high=1, constant=True), WEIGHT, label_smoothing=0.3),
            call(T(5, 4, constant=True), PROBABILITIES),
        ),
    ),
    "nll_loss": Rule(
        "nll_loss",
        functions=(F.nll_loss,),
        forms={
            "formula": Form(nll_loss, nll_loss_vjp),
            "aten": Form(nll_loss_aten, nll_loss_vjp_aten, exact=True),
        },
        examples=EVERY_LABEL_LOSS,
    ),
    **LOSS_OF_ELEMENTS,
}
