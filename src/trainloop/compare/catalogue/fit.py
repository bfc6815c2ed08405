"""Which known deviation explains a difference: each is carried out on the recorded inputs and held against what was observed.

With d the observed change (candidate − reference) of a tensor and d' the predicted one, the residual of this tensor is
‖d − d'‖ / max(‖d‖, ‖d'‖): 0 where the deviation predicts exactly what was seen, 1 where it predicts nothing that was seen,
or something that was not. The residual of a deviation is the mean over all tensors where either of the two is above the noise.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from trainloop.compare.catalogue import CATALOGUE
from trainloop.compare.catalogue.scene import Predicted, Scene
from trainloop.compare.replay import SHARED
from trainloop.compare.run import Comparison
from trainloop.compare.verdict import Cause
from trainloop.compare.wording import NO_CAUSE

MAX_RESIDUAL = 0.05
"""what a deviation may leave unexplained: rounding near the floor leaves a few hundredths, another mistake leaves about 1"""
ALIKE = 2.0
"""deviations whose residuals differ by less than this factor are not told apart, nor are those that both leave nothing"""
NOTHING = 1e-6
BUDGET_S = 40.0
"""after so much time no further deviation is carried out"""
ALIASED = "aliased gradient (memory shared with that of another parameter)"
"""found by looking at addresses, not by fitting: the numbers are right until somebody changes one in place"""


def find_cause(comparison: Comparison, *, budget_s: float = BUDGET_S) -> Cause | None:
    """Return what explains the first difference of a comparison, or that nothing known does; None if there is none.

    Args:
        comparison: that has run.
        budget_s: time for carrying out deviations.
    """
    first = comparison.tally.first
    if first is None or comparison.settings.exact:
        return None
    if first.problem.startswith(SHARED):
        return Cause(ALIASED, 0.0)
    scenes = scenes_of(comparison)
    if not scenes:
        return None
    began = time.perf_counter()
    everywhere: dict[str, float] = {}
    in_places: dict[str, float] = {}
    for known in CATALOGUE:
        if known.stage == first.stage and time.perf_counter() - began < budget_s:
            for residual in (residual_of(way, scenes) for way in known.predict):
                if residual is not None:
                    everywhere[known.name] = min(residual.overall, everywhere.get(known.name, math.inf))
                    in_places[known.name] = min(residual.where_seen, in_places.get(known.name, math.inf))
    cause = ranked(everywhere)
    if cause.name == NO_CAUSE and first.stage == "forward":
        # Each module got the reference's inputs, so a mistake in one of them shows in its own tensors alone.
        local = ranked(in_places)
        if local.name != NO_CAUSE:
            return dataclasses.replace(local, partial=True)
    return cause


def scenes_of(comparison: Comparison) -> list[Scene]:
    """Return the steps in which the first differing stage differs."""
    first = comparison.tally.first
    assert first is not None
    kept = [*comparison.optimizer_steps, *comparison.differing]
    alike = {id(item): item for item in kept if first.stage in item.stages}
    scenes = [Scene(item, first.stage) for item in alike.values()]
    own = [scene for scene in scenes if scene.differing.record.case == "config"]
    # In float32 a made-up batch, on which batch norms divide by next to nothing, shows rounding more than anything else.
    return own if own and own[0].dtype == torch.float32 else scenes


def ranked(residuals: Mapping[str, float]) -> Cause:
    """Return the best deviation, with those that explain as much; or none, with the nearest."""
    order = sorted(residuals.items(), key=lambda item: item[1])
    if not order or order[0][1] > MAX_RESIDUAL:
        name, residual = order[0] if order else ("", 1.0)
        return Cause(NO_CAUSE, residual, len(order), runner_up=name, runner_up_residual=residual)
    (name, residual), others = order[0], order[1:]
    limit = max(ALIKE * residual, NOTHING)
    also = tuple(other for other, value in others if value <= limit)
    rest = [(other, value) for other, value in others if value > limit]
    runner_up, runner_up_residual = rest[0] if rest else ("", 1.0)
    return Cause(name, residual, len(order), also, runner_up, runner_up_residual)


@dataclass(frozen=True)
class Residual:
    """What a deviation leaves unexplained.

    Args:
        overall: over all tensors where something was observed or predicted.
        where_seen: over those where something was observed.
    """

    overall: float
    where_seen: float


def residual_of(way: Callable[[Scene], Predicted | None], scenes: Sequence[Scene]) -> Residual | None:
    """Return the mean residual over all tensors of all scenes; None where the mistake cannot be made in any.

    Args:
        way: one of ``Deviation.predict``.
        scenes: to predict.
    """
    parts: list[tuple[float, bool]] = []
    acted = False
    for scene in scenes:
        predicted = way(scene)
        acted = acted or predicted is not None
        parts += tensor_residuals(scene, predicted or {})
    if not acted or not parts:
        return None
    seen = [residual for residual, is_visible in parts if is_visible]
    overall = sum(residual for residual, _ in parts) / len(parts)
    return Residual(overall, sum(seen) / len(seen) if seen else math.inf)


def tensor_residuals(scene: Scene, predicted: Predicted) -> list[tuple[float, bool]]:
    """Return the residual of every tensor where something was observed or predicted, and whether it was observed."""
    found = []
    for key, seen in scene.observed.items():
        # What a deviation says nothing of it leaves as the reference has it: all that was seen there is unexplained.
        residual = seen.residual(predicted[key]) if key in predicted else (1.0 if seen.is_visible else None)
        if residual is not None:
            found.append((residual, seen.is_visible))
    return found
