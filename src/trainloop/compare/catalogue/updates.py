"""The optimizer step carried out anew: one parameter with everything that its update depends on.

A deviation changes something small of it (the gradient, a setting, one of the numbers of the step, the state) and runs the
written-out formula of :mod:`trainloop.manual.optim` on it, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.catalogue.scene import Predicted, Scene
from trainloop.compare.key import Key
from trainloop.manual.optim import OPTIMIZERS, Optimizer

BY_CLASS = {constructor.__name__: constructor for constructor in OPTIMIZERS.values()}
"""torch's class and ours have the same name"""
FIRST_MOMENT = {
    **{"SGD": "momentum_buffer", "Muon": "momentum_buffer", "RMSprop": "momentum_buffer"},
    **dict.fromkeys(("Adam", "AdamW", "NAdam", "RAdam", "Adamax"), "exp_avg"),
}
Updated = tuple[Tensor, dict[str, Tensor]]


@dataclass
class Update:
    """The update of one parameter in one step.

    Args:
        name: of the parameter.
        optimizer: gives the formula; its own parameters and state are not touched.
        param: before the step, float64.
        grad: float64.
        state: before the step, or what the optimizer would begin with.
        group: settings; a copy that may be changed.
        step: number of this update of this parameter, 1 for the first.
        run_step: number of the step in the run.
        is_first: nothing was remembered before.
        earlier_grad: the gradient of the step before; None if there was none.
        scene: where all this comes from.
    """

    name: str
    optimizer: Optimizer
    param: Tensor
    grad: Tensor
    state: dict[str, Tensor]
    group: dict[str, Any]
    step: float
    run_step: int
    is_first: bool
    earlier_grad: Tensor | None
    scene: Scene
    scalars: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the name of the optimizer's class."""
        return type(self.optimizer).__name__

    def numbers(self, step: float | None = None) -> dict[str, Any]:
        """Return the numbers of the update, as the formula computes them, with ``scalars`` laid over them.

        Args:
            step: number of the update; None takes the right one.
        """
        computed = self.optimizer.scalars(self.group, self.state, self.step if step is None else step)
        return {**computed, **self.scalars}

    def apply(self, *, step: float | None = None) -> Updated:
        """Return the new parameter and the new state.

        Args:
            step: number of the update for the numbers that depend on it; None takes the right one.
        """
        param, new = self.optimizer.update(self.param, self.grad, self.state, self.numbers(step), self.group)
        return param, new


Change = Callable[[Update], Updated | None]
"""carries out an update with a mistake; None where this mistake cannot be made"""


def predicted_by(change: Change) -> Callable[[Scene], Predicted | None]:
    """Return what predicts all parameters and states of a step."""

    def predict(scene: Scene) -> Predicted | None:
        found: dict[Key, Tensor | None] = {}
        for update in updates(scene):
            made = change(update)
            if made is None:
                continue
            param, state = made
            found[Key("param", update.name)] = param
            found.update({Key("state", update.name, entry): value for entry, value in state.items()})
        return found or None

    return predict


def updates(scene: Scene) -> Iterator[Update]:
    """Yield the update of each parameter that has a gradient and a known optimizer."""
    record = scene.differing.record
    grads = record.grads_after("sync")
    for name, param in record.before.params.items():
        grad, settings = grads.get(name), record.settings.get(name)
        constructor = BY_CLASS.get(str(settings["optimizer"])) if settings else None
        if grad is None or settings is None or constructor is None:
            continue
        group = {key: value for key, value in settings.items() if key != "optimizer"}
        own = {entry: value for (owner, entry), value in record.before.optimizer.items() if owner == name}
        optimizer = _formula(constructor, group)
        start = param.double()
        blank = optimizer.init_state(start, group)
        # A count keeps its dtype; what the formula computes with is in float64.
        state = {entry: value.to(blank[entry]) for entry, value in own.items() if entry in blank} or blank
        earlier = record.before.grads.get(name)
        yield Update(
            name=name,
            optimizer=optimizer,
            param=start,
            grad=grad.double(),
            state=state,
            group=group,
            step=state["step"].item() + 1 if "step" in state else (2.0 if own else 1.0),
            run_step=record.step,
            is_first=not own,
            earlier_grad=None if earlier is None else earlier.double(),
            scene=scene,
        )


def _formula(constructor: type[Optimizer], group: dict[str, Any]) -> Optimizer:
    """Return an optimizer over a parameter that nobody needs, with the settings as its defaults."""
    shape = (1,) * max(1, constructor.fewest_dims)
    optimizer = constructor([nn.Parameter(torch.zeros(shape))])  # type: ignore[call-arg]
    optimizer.defaults = {**optimizer.defaults, **group}
    for name, value in optimizer.defaults.items():
        group.setdefault(name, value)
    return optimizer
