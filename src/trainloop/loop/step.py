"""One training step, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainloop.data.pipeline import Batch
from trainloop.stages import Stages


class StepResult(NamedTuple):
    """What a step leaves for the boundary.

    Args:
        loss: mean over the batch, shape (), without a graph.
        logits: shape (N, num_classes), without a graph, computed before the update.
    """

    loss: Tensor
    logits: Tensor


def always(_: StepResult) -> bool:
    """Let every update be made."""
    return True


def train_step(
    stages: Stages, batch: Batch, parts: int, lr: float, may_update: Callable[[StepResult], bool] = always
) -> StepResult:
    """Do one update: zero_grad, forward, loss, backward, sync, step.

    Args:
        stages: the six stages of this run.
        batch: images and labels on the device.
        parts: how many pieces the batch is split into; their gradients add up to the whole batch's.
        lr: the step size of this step.
        may_update: asked when the gradients are there; a no leaves sync and step out.
    """
    stages.zero_grad()
    losses, logits = [], []
    for x_NCHW, labels, share in split(batch, parts):
        logits.append(stages.forward(x_NCHW))
        losses.append(stages.loss(logits[-1], labels, share))
        stages.backward(losses[-1])
    result = joined(losses, logits)
    if may_update(result):
        stages.sync()
        stages.step(lr)
    return result


def split(batch: Batch, parts: int) -> Sequence[tuple[Tensor, Tensor, float]]:
    """Return (images, labels, share of the batch) of each part; the shares add up to 1."""
    if parts == 1:
        return [(batch.x, batch.y, 1)]
    whole = batch.y.shape[0]
    chunks = zip(batch.x.chunk(parts), batch.y.chunk(parts), strict=True)
    return [(x, y, y.shape[0] / whole) for x, y in chunks]


def joined(losses: list[Tensor], logits: list[Tensor]) -> StepResult:
    """Return the batch's loss and logits out of those of its parts."""
    if len(losses) == 1:
        return StepResult(losses[0].detach(), logits[0].detach())
    return StepResult(torch.stack([loss.detach() for loss in losses]).sum(), torch.cat(logits).detach())
