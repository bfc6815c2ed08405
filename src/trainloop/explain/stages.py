"""The stages of one step, run with eyes open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainloop.data.pipeline import Batch
from trainloop.explain.results import Use
from trainloop.explain.run import Run, Side
from trainloop.explain.sides import Chosen, owner_of
from trainloop.explain.trace import Traced, traced
from trainloop.loop.step import split


@dataclass(frozen=True)
class Passed:
    """What forward, loss and backward left.

    Args:
        loss: of the batch.
        recorded: operations that the tapes noted.
        uses: of the chosen parameter in the first part of the batch.
        grads: of the chosen weight, before and after the backward of each part.
    """

    loss: Tensor
    recorded: int
    uses: tuple[Use, ...]
    grads: tuple[float | None, ...]


def manual_grads(run: Run, side: Side, chosen: Chosen, batch: Batch, *, backwards: int = 1) -> Passed:
    """Run forward, loss and backward of the manual path, part by part.

    Args:
        run: says how a batch is split.
        side: a manual one.
        chosen: the weight to look at.
        batch: of the step.
        backwards: how often each backward runs; more than once is what people get wrong.
    """
    losses, recorded, uses, grads = [], 0, list[Use](), [chosen.grad(side)]
    for x, labels, share in split(batch, run.parts):
        loss = side.stages.loss(side.stages.forward(x), labels, share)
        recorded += len(side.tape.nodes)
        ways = side.tape.watch(loss, side.param(chosen.name))
        for _ in range(backwards - 1):
            side.tape.backward(loss, retain_graph=True)
        side.stages.backward(loss)
        # The later parts take the same ways.
        uses = uses or [use for way in ways if (use := way.use(side.tape.modules, chosen.index)) is not None]
        losses.append(loss.detach())
        grads.append(chosen.grad(side))
    return Passed(torch.stack(losses).sum(), recorded, tuple(uses), tuple(grads))


def builtin_grads(run: Run, side: Side, batch: Batch) -> Tensor:
    """Run the stages from zero_grad to backward of the built-in path; return the batch's loss, shape ()."""
    side.stages.zero_grad()
    losses = []
    for x, labels, share in split(batch, run.parts):
        loss = side.stages.loss(side.stages.forward(x), labels, share)
        side.stages.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def watched_update(side: Side, chosen: Chosen, lr: float) -> Traced:
    """Do the optimizer's step, and return what its ``update`` did to the chosen weight; nothing where it passed it over."""
    param, (optimizer, _) = side.param(chosen.name), owner_of(side, chosen)
    plain = optimizer.update
    update, calls = traced(plain, chosen.index)

    def watching(data: Tensor, grad: Tensor, *others: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return (update if grad is param.grad else plain)(data, grad, *others)

    optimizer.update = watching
    try:
        side.stages.step(lr)
    finally:
        del optimizer.update
    return calls[0] if calls else Traced({}, ())
