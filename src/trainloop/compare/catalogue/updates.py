"""The optimizer step carried out anew: one parameter with everything that its update depends on.

A deviation changes something small of it (the gradient, a setting, the state, the count of steps) and lets ``torch.optim``
update it, in float64. It is torch's formula and not ours, because ours is what a reader may have broken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Key

FIRST_MOMENT = {
    **{"SGD": "momentum_buffer", "Muon": "momentum_buffer", "RMSprop": "momentum_buffer"},
    **dict.fromkeys(("Adam", "AdamW", "NAdam", "RAdam", "Adamax"), "exp_avg"),
}
COUNTS = ("step", "mu_product", "eta", "mu")
"""entries of a state that are numbers, with a dtype of their own"""
SWITCHES = ("foreach", "fused", "capturable", "differentiable")
Updated = tuple[Tensor, dict[str, Tensor]]


@dataclass
class Update:
    """The update of one parameter in one step.

    Args:
        name: of the parameter.
        kind: name of the optimizer's class.
        param: before the step, float64.
        grad: float64.
        state: before the step; empty when nothing is remembered yet.
        group: settings; a copy that may be changed.
        run_step: number of the step in the run.
        earlier_grad: the gradient of the step before; None if there was none.
        scene: where all this comes from.
    """

    name: str
    kind: str
    param: Tensor
    grad: Tensor
    state: dict[str, Tensor]
    group: dict[str, Any]
    run_step: int
    earlier_grad: Tensor | None
    scene: Scene

    @property
    def is_first(self) -> bool:
        """Whether nothing is remembered yet."""
        return not self.state

    @property
    def is_decoupled(self) -> bool:
        """Whether weight decay shrinks the parameter itself, and not by way of the gradient."""
        return self.kind in ("AdamW", "Muon", "Adafactor") or bool(self.group.get("decoupled_weight_decay"))

    @property
    def decayed_grad(self) -> Tensor:
        """Return the gradient with its sign, and with what a coupled weight decay adds."""
        decay = 0.0 if self.is_decoupled else self.group.get("weight_decay") or 0.0
        return (-1.0 if self.group.get("maximize") else 1.0) * self.grad + decay * self.param

    @property
    def step(self) -> float:
        """Return the number of this update of this parameter, 1 for the first."""
        return self.state["step"].item() + 1 if "step" in self.state else (1.0 if self.is_first else 2.0)

    def apply(self, *, step: float | None = None) -> Updated:
        """Return the new parameter and the new state.

        Args:
            step: number of the update for the numbers that depend on it; None takes the right one. The count that is
                remembered is right in any case.
        """
        before = self.full_state() if step is not None and self.is_first else self.state
        param = nn.Parameter(self.param.clone())
        param.grad = self.grad.to(param.dtype, copy=True)
        optimizer = _optimizer(self.kind)
        settings = {name: value for name, value in self.group.items() if name not in ("initial_lr", "lr_scale")}
        optimizer.param_groups[0].update(settings, params=[param])
        right = self.step
        if before:
            optimizer.state[param].update({entry: value.clone() for entry, value in before.items()})
            if step is not None:
                optimizer.state[param]["step"].fill_(step - 1)
        optimizer.step()
        state = {entry: value for entry, value in optimizer.state.pop(param, {}).items() if isinstance(value, Tensor)}
        if "step" in state:
            state["step"] = torch.full_like(state["step"], right)
        return param.detach(), state

    def full_state(self) -> dict[str, Tensor]:
        """Return what is remembered, or what the optimizer would begin with: zeros, and counts of their own."""
        if self.state:
            return self.state
        _, after = self.apply()
        blank = {"step": 0.0, "mu_product": 1.0, "mu": 1.0, "eta": self.group["lr"]}
        return {
            entry: torch.full_like(value, blank[entry]) if entry in COUNTS else torch.zeros_like(value)
            for entry, value in after.items()
        }


@functools.cache
def _optimizer(kind: str) -> torch.optim.Optimizer:
    """Return an optimizer to be used for one parameter after the other; to make one costs more than a step."""
    optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)([nn.Parameter(torch.zeros(1, 1))])
    return optimizer


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


def step_deviation(name: str, *changes: Change) -> Deviation:
    """Return a deviation of the optimizer step, that can be made in one or more ways."""
    return deviation(name, "step", *(predicted_by(change) for change in changes))


def updates(scene: Scene) -> Iterator[Update]:
    """Yield the update of each parameter that has a gradient and an optimizer that torch has too."""
    record = scene.differing.record
    grads = record.grads_after("sync")
    for name, param in record.before.params.items():
        grad, settings = grads.get(name), record.settings.get(name)
        if grad is None or settings is None or not hasattr(torch.optim, str(settings["optimizer"])):
            continue
        if settings["optimizer"] == "Muon" and param.dim() != 2:
            continue  # torch's takes matrices only
        earlier = record.before.grads.get(name)
        yield Update(
            name=name,
            kind=str(settings["optimizer"]),
            param=param.double(),
            grad=grad.double(),
            state={
                entry: value.clone() if entry in COUNTS else value.double()
                for (owner, entry), value in record.before.optimizer.items()
                if owner == name
            },
            group={**{key: value for key, value in settings.items() if key != "optimizer"}, **_readable(settings)},
            run_step=record.step,
            earlier_grad=None if earlier is None else earlier.double(),
            scene=scene,
        )


def _readable(settings: dict[str, Any]) -> dict[str, bool]:
    """Return the switches that choose torch's loop over parameters."""
    return {name: False for name in SWITCHES if name in settings}
