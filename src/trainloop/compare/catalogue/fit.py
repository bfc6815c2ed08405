"""Which known deviation explains a difference: each is carried out on the recorded inputs and held against what was observed.

With d the observed change (candidate − reference) of a tensor and d' the predicted one, the residual of this tensor is
‖d − d'‖ / max(‖d‖, ‖d'‖): 0 where the deviation predicts exactly what was seen, 1 where it predicts nothing that was seen,
or something that was not. The residual of a deviation is the mean over all tensors where either of the two is above the noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from trainloop.compare.catalogue import CATALOGUE
from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene
from trainloop.compare.run import Comparison
from trainloop.compare.verdict import Cause
from trainloop.compare.wording import NO_CAUSE

MAX_RESIDUAL = 0.05
"""what a deviation may leave unexplained: rounding near the floor leaves a few hundredths, another mistake leaves about 1"""
ALIKE = 2.0
"""deviations whose residuals differ by less than this factor are not told apart, nor are those that both leave nothing"""
NOTHING = 1e-6
BUDGET_S = 25.0
"""after so much time no further deviation is carried out"""


def find_cause(comparison: Comparison, *, budget_s: float = BUDGET_S) -> Cause | None:
    """Return what explains the first difference of a comparison, or that nothing known does; None if there is none.

    Args:
        comparison: that has run.
        budget_s: time for carrying out deviations.
    """
    first = comparison.tally.first
    if first is None or comparison.settings.exact:
        return None
    scenes = scenes_of(comparison)
    if not scenes:
        return None
    began = time.perf_counter()
    residuals: dict[str, float] = {}
    for known in CATALOGUE:
        if known.stage == first.stage and time.perf_counter() - began < budget_s:
            residual = best_residual(known, scenes)
            if residual is not None:
                residuals[known.name] = min(residual, residuals.get(known.name, math.inf))
    return ranked(residuals)


def scenes_of(comparison: Comparison) -> list[Scene]:
    """Return the steps in which the first differing stage differs."""
    first = comparison.tally.first
    assert first is not None
    kept = [*comparison.optimizer_steps, *comparison.differing]
    alike = {id(item): item for item in kept if first.stage in item.stages}
    return [Scene(item, first.stage) for item in alike.values()]


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


def best_residual(known: Deviation, scenes: Sequence[Scene]) -> float | None:
    """Return the residual over all scenes of the best way to make a mistake; None where it cannot be made in any."""
    found = [residual_of(way, scenes) for way in known.predict]
    return min((residual for residual in found if residual is not None), default=None)


def residual_of(way: object, scenes: Sequence[Scene]) -> float | None:
    """Return the mean residual over all tensors of all scenes.

    Args:
        way: one of ``Deviation.predict``.
        scenes: to predict.
    """
    assert callable(way)
    parts: list[float] = []
    acted = False
    for scene in scenes:
        predicted: Predicted | None = way(scene)
        acted = acted or predicted is not None
        parts += tensor_residuals(scene, predicted or {})
    return sum(parts) / len(parts) if acted and parts else None


def tensor_residuals(scene: Scene, predicted: Predicted) -> list[float]:
    """Return the residual of every tensor where something was observed or predicted."""
    found = []
    for key, seen in scene.observed.items():
        # What a deviation says nothing of it leaves as the reference has it: all that was seen there is unexplained.
        residual = seen.residual(predicted[key]) if key in predicted else (1.0 if seen.is_visible else None)
        if residual is not None:
            found.append(residual)
    return found
