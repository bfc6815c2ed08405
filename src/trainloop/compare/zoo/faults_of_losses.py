"""Faults of the loss and of its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.compare.api import TrainingStep
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import UNKNOWN, Fault, Pair, formulas, with_rules
from trainloop.compare.zoo.nets import NUM_CLASSES, batches, mlp
from trainloop.manual.rule import by_function

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
MAX_NORM = 0.5
Criterion = Callable[..., Tensor]
Data = Sequence[tuple[Tensor, Tensor]]


def one_hot_mse(mse: Criterion) -> Criterion:
    """Return (logits, labels) → the squared error to one-hot labels, by a function of two tensors."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return mse(logits, F.one_hot(labels, NUM_CLASSES).to(logits.dtype))

    return loss


def smoothed(criterion: Criterion) -> Criterion:
    """Return it with label smoothing."""
    return partial(criterion, label_smoothing=0.1)


def weighted(criterion: Criterion) -> Criterion:
    """Return it with class weights, in the dtype of the logits."""
    return lambda logits, labels: criterion(logits, labels, torch.linspace(0.5, 2, NUM_CLASSES).to(logits.dtype))


def with_ignored() -> Data:
    """Return batches in which two labels count as none."""
    data = batches()
    for _, labels in data:
        labels[:2] = -100
    return data


def loss_edited(
    what: str,
    module: str,
    changes: tuple[tuple[str, str], ...],
    cause: tuple[str, ...] | None,
    *,
    wrapped: Callable[[Criterion], Criterion] = lambda criterion: criterion,
    data: Callable[[], Data] = batches,
    within: str = "",
    through: tuple[str, ...] = (),
) -> Fault:
    """Return an edit of ``losses.cross_entropy``, or of what it stands on, as a fault; autograd differentiates it.

    Args:
        what: is wrong.
        module: see :class:`Edit`.
        changes: likewise.
        cause: see :class:`Fault`.
        wrapped: what both sides make of a function like ``F.cross_entropy``.
        data: of each step.
        within: see :class:`Edit`.
        through: likewise.
    """

    def make(edited: ModuleType) -> Pair:
        net = mlp()
        reference = TrainingStep(net, SGD, loss=wrapped(F.cross_entropy))
        return Pair(reference, TrainingStep(net, SGD, loss=wrapped(edited.cross_entropy)), data())

    return Fault(f"loss: {what}", "loss", "loss", make, cause, Edit(module, changes, within, through))


def other_loss(what: str, right: Criterion, wrong: Criterion, cause: tuple[str, ...] | None) -> Fault:
    """Return another function of logits and labels as a fault."""

    def make(_: None) -> Pair:
        net = mlp()
        return Pair(TrainingStep(net, SGD, loss=right), TrainingStep(net, SGD, loss=wrong))

    return Fault(f"loss: {what}", "loss", "loss", make, cause)


def loss_gradient_edited(
    what: str, module: str, old: str, new: str, cause: tuple[str, ...] | None, *, loss: Criterion, within: str
) -> Fault:
    """Return an edit of the vjp of a loss as a fault: the loss is right, and its gradient is not."""
    table = {"rules.loss": "LOSS", "rules.loss_of_elements": "LOSS_OF_ELEMENTS"}
    through = ("rules.loss_of_elements",) if module.endswith("mse") else ("rules.loss",)

    def make(edited: ModuleType) -> Pair:
        rules = with_rules(formulas(by_function(getattr(edited, table[through[-1]]))))
        net = mlp()
        return Pair(TrainingStep(net, SGD, loss=loss), TrainingStep(net, SGD, loss=loss, tape=True, rules=rules))

    edit = Edit(module, ((old, new),), within, through)
    return Fault(f"loss: {what}", "backward", r"grad of (hidden|head)\.(weight|bias)", make, cause, edit)


CROSS_ENTROPY, NLL = "losses.cross_entropy", "losses.nll"
SMOOTH_LINE = "label_smoothing / log_probs_NKD.shape[dim] * smooth"
OF_SAMPLES = "loss.sum() / weight.sum()"

FAULTS: tuple[Fault, ...] = (
    loss_edited(
        "smoothing shared by the K − 1 other classes",
        CROSS_ENTROPY,
        ((SMOOTH_LINE, "label_smoothing / (log_probs_NKD.shape[dim] - 1) * (smooth - loss)"),),
        ("label smoothing over K − 1 classes instead of K",),
        wrapped=smoothed,
    ),
    loss_edited(
        "smoothing divided by K − 1",
        CROSS_ENTROPY,
        ((SMOOTH_LINE, "label_smoothing / (log_probs_NKD.shape[dim] - 1) * smooth"),),
        ("label smoothing over K − 1 classes instead of K",),
        wrapped=smoothed,
    ),
    loss_edited(
        "smoothing that takes nothing off the label",
        CROSS_ENTROPY,
        (("(1 - label_smoothing) * loss", "loss"),),
        ("label smoothing not taken off the right class",),
        wrapped=smoothed,
    ),
    loss_edited(
        "no smoothing",
        CROSS_ENTROPY,
        (("if label_smoothing == 0:\n        return loss\n    over", "if True:\n        return loss\n    over"),),
        ("label smoothing missing",),
        wrapped=smoothed,
    ),
    loss_edited(
        "the mean counts what is ignored",
        NLL,
        ((OF_SAMPLES, "loss.sum() / loss.numel()"),),
        UNKNOWN,
        data=with_ignored,
        through=(CROSS_ENTROPY,),
    ),
    loss_edited(
        "a sum instead of a mean",
        NLL,
        ((OF_SAMPLES, "loss.sum()"),),
        ("loss summed instead of averaged",),
        through=(CROSS_ENTROPY,),
    ),
    loss_edited(
        "the wrong sign",
        NLL,
        (("loss = -(weight", "loss = (weight"),),
        ("loss with the wrong sign",),
        through=(CROSS_ENTROPY,),
    ),
    loss_edited(
        "class weights do not enter the mean",
        NLL,
        ((OF_SAMPLES, "loss.mean()"),),
        UNKNOWN,
        wrapped=weighted,
        through=(CROSS_ENTROPY,),
    ),
    other_loss(
        "softmax twice", F.cross_entropy, lambda x, y: F.cross_entropy(F.softmax(x, 1), y), ("softmax applied twice",)
    ),
    other_loss(
        "a mean over classes too",
        F.cross_entropy,
        lambda x, y: F.cross_entropy(x, y) / NUM_CLASSES,
        ("loss averaged over classes too",),
    ),
    other_loss(
        "half the squared error",
        one_hot_mse(F.mse_loss),
        lambda x, y: one_hot_mse(F.mse_loss)(x, y) / 2,
        ("loss halved",),
    ),
    loss_gradient_edited(
        "cross entropy's gradient without the softmax",
        CROSS_ENTROPY,
        "return grad_log_probs - log_probs.exp() * grad_log_probs.sum(class_dim(log_probs), keepdim=True)",
        "return grad_log_probs",
        ("cross entropy's gradient without the softmax",),
        loss=F.cross_entropy,
        within="_through_softmax",
    ),
    loss_gradient_edited(
        "the squared error's gradient without its 2",
        "losses.mse",
        "(2 * difference)",
        "difference",
        UNKNOWN,
        loss=one_hot_mse(F.mse_loss),
        within="mse_loss_vjp",
    ),
)
