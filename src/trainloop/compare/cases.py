"""Steps that tell known variants apart, beside the run's own batches, which often leave them looking alike.

The *optimizer cases* update a bag of parameters of every awkward kind: a matrix, a vector, a number without dimensions, a
parameter whose memory is not contiguous, one with gradients as small as eps, one with large ones. One of them has a gradient of
zero, one has None at the second step, and they form two groups with different lr, one with weight decay and one without. The lr
changes from step to step. Steps 1 and 2 stand apart, because bias corrections, dampening and the first momentum show there
and nowhere else.

The *blank batch* is an image of the mean colour, many times: every pixel is 0. Convolutions without bias give exactly 0, the
variance of a batch norm is 0 and so is what a relu gets, where its gradient is a matter of definition.
The *constant batch* is one real image, many times: all that a batch norm sees comes from within an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.guard import called
from trainloop.compare.implementation import Implementation, Side
from trainloop.compare.key import Key
from trainloop.compare.record import State, StepRecord, grad_outputs, group_settings, update_outputs
from trainloop.data.pipeline import Batch
from trainloop.errors import TrainloopError
from trainloop.random_state import RandomState

OPTIMIZER_CASES = "optimizer cases"
BATCH_CASES = ("blank batch", "constant batch")
NUM_OPTIMIZER_STEPS = 4
LR_FACTORS = (1.0, 0.5, 2.0, 0.25)
"""of the four steps: a momentum buffer that holds the lr, and one that does not, part at the second"""
DECAYED, PLAIN = "decayed", "plain"
"""the two groups, by the beginning of a parameter's name"""


class ParameterBag(nn.Module):
    """Parameters of every kind, and nothing to compute with them."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(20)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        for group in (DECAYED, PLAIN):
            bag = nn.Module()
            bag.matrix = nn.Parameter(normal(4, 3))
            # Not the last one: a loop that stops at None instead of passing over it leaves out those behind.
            bag.missing_at_times = nn.Parameter(normal(4))
            bag.kernel = nn.Parameter(normal(3, 2, 3, 3))
            bag.vector = nn.Parameter(normal(5))
            bag.number = nn.Parameter(normal())
            bag.transposed = nn.Parameter(normal(3, 4).t())
            bag.tiny_gradient = nn.Parameter(normal(6))
            bag.large_gradient = nn.Parameter(normal(6))
            bag.zero_gradient = nn.Parameter(normal(4))
            self.add_module(group, bag)


class MatrixBag(nn.Module):
    """What an optimizer takes that works on matrices only."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(20)
        for group in (DECAYED, PLAIN):
            bag = nn.Module()
            bag.matrix = nn.Parameter(torch.randn(4, 3, generator=generator))
            bag.missing_at_times = nn.Parameter(torch.randn(4, 4, generator=generator))
            bag.transposed = nn.Parameter(torch.randn(3, 4, generator=generator).t())
            self.add_module(group, bag)


GRADIENT_SCALES = {"tiny_gradient": 1e-7, "large_gradient": 1e3, "zero_gradient": 0.0}


def case_gradients(params: Mapping[str, nn.Parameter], step: int) -> dict[str, Tensor | None]:
    """Return the gradients of one step of the optimizer cases.

    Args:
        params: of a bag.
        step: from 1.
    """
    generator = torch.Generator().manual_seed(1000 + step)
    grads: dict[str, Tensor | None] = {}
    for name, param in params.items():
        grad = torch.randn(param.shape, generator=generator) * GRADIENT_SCALES.get(name.rpartition(".")[2], 1.0)
        grads[name] = grad.to(param.device, param.dtype)
        if name.endswith("missing_at_times") and step == 2:
            grads[name] = None
    return grads


@dataclass(frozen=True)
class CaseSides:
    """Both sides over a bag.

    Args:
        reference: runs first.
        candidate: replays.
        lr: to begin with.
    """

    reference: Side
    candidate: Side
    lr: float


def optimizer_sides(reference: Implementation, candidate: Implementation, lr: float) -> CaseSides | None:
    """Build both sides over a bag of parameters; None where one of them has no way to."""
    if reference.optimizer_cases is None or candidate.optimizer_cases is None:
        return None
    changes = CHANGES if reference.decays and candidate.decays else {**CHANGES, "weight_decay": 0.0}
    for bag in (ParameterBag(), MatrixBag()):
        try:
            one, two = reference.optimizer_cases(bag, changes), candidate.optimizer_cases(bag, changes)
            return CaseSides(one.side(), two.side(), lr)
        except (ValueError, TypeError, RuntimeError, TrainloopError):
            continue
    return None


CHANGES: Mapping[str, Any] = {"weight_decay": 0.03}
"""of the group that is decayed, unless the config says more; the other has none"""


def observe_updates(sides: CaseSides) -> Iterator[StepRecord]:
    """Run the reference over the optimizer cases; yields each step's record, ready to be replayed."""
    side = sides.reference
    for step, factor in enumerate(LR_FACTORS, 1):
        before, random = State.of(side), RandomState(side.device)
        lr = sides.lr * factor
        for name, grad in case_gradients(side.params(), step).items():
            side.params()[name].grad = grad
        blank = Batch(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
        backward = grad_outputs(side)
        with side.running():
            called(side, "sync", side.stages.sync)
            sync = grad_outputs(side)
            called(side, "step", side.stages.step, lr * side.of.lr_factor)
        outputs: dict[Any, dict[Key, Tensor | None]] = {
            "zero_grad": {},
            "forward": {},
            "loss": {},
            "backward": backward,
            "sync": sync,
            "step": update_outputs(side),
        }
        after = RandomState(side.device)
        yield StepRecord(
            *(OPTIMIZER_CASES, step, lr, blank, 1, before, random, random, after, outputs),
            stages=("sync", "step"),
            settings=group_settings(side),
        )


def batch_cases(batch: Batch) -> Iterator[tuple[str, Batch]]:
    """Yield the blank and the constant batch, as large as ``batch`` and with its labels."""
    yield BATCH_CASES[0], Batch(torch.zeros_like(batch.x), batch.y, batch.indices)
    one = batch.x[:1].expand_as(batch.x).clone(memory_format=torch.preserve_format)
    yield BATCH_CASES[1], Batch(torch.empty_like(batch.x).copy_(one), batch.y, batch.indices)
