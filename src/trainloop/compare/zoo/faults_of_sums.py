"""Faults of what is added up: gradients on the tape, and the parts of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import ANY, UNKNOWN, Fault, Pair, altered
from trainloop.compare.zoo.nets import biases_net, plain_cnn, residual_net
from trainloop.stages import Stages

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
MAX_NORM = 0.5
Criterion = Callable[..., Tensor]
Data = Sequence[tuple[Tensor, Tensor]]


def with_private_tape(
    edit: Edit, what: str, tensor: str, net: Callable[[], nn.Module], cause: tuple[str, ...] | None, parts: int = 1
) -> Fault:
    """Return a tape made from edited source as a fault, against autograd."""

    def make(edited: ModuleType) -> Pair:
        model = net()

        def change(stages: Stages, own: nn.Module, _optimizer: Any) -> Stages:
            tape = edited.Tape()

            def forward(x: Tensor) -> Tensor:
                tape.clear()
                with tape:
                    logits: Tensor = own(x)
                return logits

            def loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
                with tape:
                    return F.cross_entropy(logits, labels) * share

            return dataclasses.replace(stages, forward=forward, loss=loss, backward=tape.backward)

        step = TrainingStep(model, SGD, parts=parts)
        return Pair(step, altered(step, change))

    return Fault(f"tape: {what}", "backward", tensor, make, cause, edit)


PART_OF_CNN = r"grad of (conv1|conv2|head)\.\w+"
SUM_OF_PARTS = "leaf.grad = leaf.grad + grad"
OF_TAPE: tuple[Fault, ...] = (
    with_private_tape(
        Edit(
            "tape", (("grads[value] = added(grads[value], grad) if value in grads else grad", "grads[value] = grad"),)
        ),
        "the gradient of a shortcut is overwritten",
        r"grad of conv1\.\w+",
        residual_net,
        UNKNOWN,
    ),
    with_private_tape(
        Edit("node", ((SUM_OF_PARTS, "leaf.grad = grad"),), "accumulate", ("tape",)),
        "the gradient of a part is overwritten",
        PART_OF_CNN,
        plain_cnn,
        UNKNOWN,
        parts=2,
    ),
    with_private_tape(
        Edit("node", ((SUM_OF_PARTS, "leaf.grad = (leaf.grad + grad) / 2"),), "accumulate", ("tape",)),
        "the mean of two parts instead of their sum",
        PART_OF_CNN,
        plain_cnn,
        ("gradient divided by the number of parts once more",),
        parts=2,
    ),
    with_private_tape(
        Edit(
            "node",
            ((SUM_OF_PARTS, "leaf.grad.add_(grad)"), ("grad.clone() if memory in taken else grad", "grad")),
            "accumulate",
            ("tape",),
        ),
        "two gradients in one memory",
        r"grad of biases\.(one|two)",
        biases_net,
        UNKNOWN,
        parts=2,
    ),
)


def _share_forgotten() -> Fault:
    def make(_: None) -> Pair:
        step = TrainingStep(plain_cnn(), SGD, parts=2)

        def change(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
            return dataclasses.replace(stages, loss=lambda logits, labels, _share: stages.loss(logits, labels, 1.0))

        return Pair(step, altered(step, change))

    return Fault("loss: every part counts as a whole batch", "loss", "loss", make, ANY)


FAULTS: tuple[Fault, ...] = (*OF_TAPE, _share_forgotten())
