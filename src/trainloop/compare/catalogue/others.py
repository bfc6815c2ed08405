"""Known deviations of zero_grad and of the clipping.

The bound of a clipping is read off what the reference left: after clipping by norm the total norm is the bound, after
clipping by value the largest element is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Key, Stage
from trainloop.compare.record import Grads


def _grads_before(stage: Stage, scene: Scene) -> Grads:
    record = scene.differing.record
    return record.before.grads if stage == "zero_grad" else record.grads_after("backward")


def _each(stage: Stage, change: Callable[[Tensor], Tensor | None]) -> Callable[[Scene], Predicted | None]:
    """Return what makes each gradient out of the one that the stage was given."""

    def predict(scene: Scene) -> Predicted | None:
        before = _grads_before(stage, scene)
        found: dict[Key, Tensor | None] = {}
        for key in scene.candidate:
            grad = before.get(key.name)
            if grad is not None:
                found[key] = change(grad.double())
        return found or None

    return predict


def _zeros(scene: Scene) -> Predicted | None:
    """Fill every gradient with zeros, of parameters that had none as well."""
    params = scene.differing.record.before.params
    return {key: torch.zeros_like(params[key.name], dtype=torch.float64) for key in scene.candidate}


def _except_a_group(scene: Scene) -> Predicted | None:
    """Zero all gradients but those of the group that the first differing parameter is in."""
    record = scene.differing.record
    name = scene.differing.judged.key.name
    own = record.settings.get(name)
    groups = {id(settings) for settings in record.settings.values()}
    if own is None or len(groups) < 2:
        return None
    kept = [other for other, settings in record.settings.items() if settings is own]
    return {Key("grad", other): _double(record.before.grads.get(other)) for other in kept}


def _double(grad: Tensor | None) -> Tensor | None:
    return None if grad is None else grad.double()


def _clipped(
    change: Callable[[Mapping[str, Tensor], float], Mapping[str, Tensor]], *, bound: str
) -> Callable[[Scene], Predicted | None]:
    """Return what clips in another way, to the bound that the reference has."""

    def predict(scene: Scene) -> Predicted | None:
        before = {name: grad.double() for name, grad in _grads_before("sync", scene).items() if grad is not None}
        after = [grad.double() for grad in scene.reference.values() if grad is not None]
        if not before or all(
            torch.equal(before[key.name], value.double()) for key, value in scene.reference.items() if value is not None
        ):
            return None
        limit = total_norm(after) if bound == "norm" else max(grad.abs().max().item() for grad in after)
        return {Key("grad", name): grad for name, grad in change(before, limit).items()}

    return predict


def total_norm(grads: list[Tensor]) -> float:
    """Return the norm of all gradients together."""
    squares: float = sum(grad.square().sum().item() for grad in grads)
    return math.sqrt(squares)


def _one_by_one(grads: Mapping[str, Tensor], limit: float) -> Mapping[str, Tensor]:
    return {name: grad * min(1.0, limit / (grad.norm().item() or 1.0)) for name, grad in grads.items()}


def _by_value(grads: Mapping[str, Tensor], limit: float) -> Mapping[str, Tensor]:
    return {name: grad.clamp(-limit, limit) for name, grad in grads.items()}


def _by_norm(grads: Mapping[str, Tensor], limit: float) -> Mapping[str, Tensor]:
    norm = total_norm(list(grads.values())) or 1.0
    return {name: grad * min(1.0, limit / norm) for name, grad in grads.items()}


def _by_largest(grads: Mapping[str, Tensor], limit: float) -> Mapping[str, Tensor]:
    largest = max(grad.abs().max().item() for grad in grads.values()) or 1.0
    return {name: grad * min(1.0, limit / largest) for name, grad in grads.items()}


def _by_square(grads: Mapping[str, Tensor], limit: float) -> Mapping[str, Tensor]:
    norm = total_norm(list(grads.values())) or 1.0
    return {name: grad * min(1.0, limit / norm**2) for name, grad in grads.items()}


def _always_scaled(scene: Scene) -> Predicted | None:
    """Scale to a norm although the gradients are below it; the bound is what the candidate's norm came to."""
    before = {name: grad.double() for name, grad in _grads_before("sync", scene).items() if grad is not None}
    after = [grad.double() for grad in scene.candidate.values() if grad is not None]
    norm = total_norm(list(before.values()))
    if not norm:
        return None
    factor = total_norm(after) / norm
    return {Key("grad", name): grad * factor for name, grad in before.items()} if factor > 1 else None


OTHERS: tuple[Deviation, ...] = (
    deviation("gradient not zeroed", "zero_grad", _each("zero_grad", lambda grad: grad)),
    deviation("gradient not zeroed in a parameter group", "zero_grad", _except_a_group),
    deviation("gradient filled with zeros instead of None", "zero_grad", _zeros),
    deviation("clipped after the update instead of before, or not at all", "sync", _each("sync", lambda grad: grad)),
    deviation("each gradient clipped to the norm by itself", "sync", _clipped(_one_by_one, bound="norm")),
    deviation("clipped by value instead of by norm", "sync", _clipped(_by_value, bound="norm")),
    deviation("clipped by norm instead of by value", "sync", _clipped(_by_norm, bound="value")),
    deviation("clipped by the largest element instead of by norm", "sync", _clipped(_by_largest, bound="norm")),
    deviation("clipped by the square of the norm", "sync", _clipped(_by_square, bound="norm")),
    deviation("scaled up to the bound", "sync", _always_scaled),
    deviation("gradients cleared by the clipping", "sync", _each("sync", torch.zeros_like)),
)
