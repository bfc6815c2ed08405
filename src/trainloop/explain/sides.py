"""The two paths side by side: copies of a model that stand at the same place, and the chosen weight in each."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainloop.errors import ConfigError
from trainloop.explain.run import MakeSide, Run, Side


@dataclass(frozen=True)
class Chosen:
    """The weight that is looked at: an element of a parameter, in whatever copy of the model."""

    name: str
    index: tuple[int, ...]

    def value(self, side: Side) -> float:
        """Return the weight's value."""
        return element(side.param(self.name), self.index)

    def grad(self, side: Side) -> float | None:
        """Return the weight's gradient."""
        grad = side.param(self.name).grad
        return None if grad is None else element(grad, self.index)


def element(tensor: Tensor, index: tuple[int, ...]) -> float:
    """Return one element."""
    value: float = tensor.detach()[index].item()
    return value


def owner_of(side: Side, chosen: Chosen) -> tuple[Any, dict[str, Any]]:
    """Return the optimizer that has the chosen parameter and its group there; the first of each where none has it."""
    param = side.param(chosen.name)
    groups = [(optimizer, group) for optimizer in side.optimizers for group in optimizer.param_groups]
    return next((pair for pair in groups if any(member is param for member in pair[1]["params"])), groups[0])


def fork(side: Side, make: MakeSide) -> Side:
    """Return a side that stands where the given one stands: same weights, buffers and optimizer state, no gradients."""
    other = make(copy.deepcopy(side.model))
    for old, new in zip(side.optimizers, other.optimizers, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    return other


def builtin_twin(run: Run, side: Side) -> tuple[Side, str]:
    """Return the built-in path from where the manual one stands, and why it cannot update, if it cannot."""
    try:
        return fork(side, run.builtin), ""
    except ConfigError as error:
        return run.builtin_but_update(copy.deepcopy(side.model)), error.faults[0].what
