"""How long the two sides take, measured in turns in one process; only for a comparison that passed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from trainloop.compare.implementation import Implementation, Side
from trainloop.compare.verdict import StageTime, Timing
from trainloop.data.pipeline import Batch
from trainloop.intervals import interval
from trainloop.loop.step import train_step
from trainloop.loop.timing import StageTimer

WARM_UP_ROUNDS = 2
MAX_ROUNDS, MIN_ROUNDS = 20, 4
DEFAULT_BUDGET_S = 8.0
WHOLE = "whole step"


def measure_both(
    reference: Implementation, candidate: Implementation, batch: Batch, lr: float, *, budget_s: float = DEFAULT_BUDGET_S
) -> Timing:
    """Time the stages of both sides, one step of each in turns, on copies of their own.

    Args:
        reference: one side.
        candidate: the other.
        batch: that every step sees.
        lr: so small that the weights stay what they are, more or less.
        budget_s: time after which no further round begins, once there are a few.
    """
    sides = (reference.side(), candidate.side())
    began = time.perf_counter()
    samples: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for number in range(WARM_UP_ROUNDS + MAX_ROUNDS):
        if number >= WARM_UP_ROUNDS + MIN_ROUNDS and time.perf_counter() - began > budget_s:
            break
        # Who comes first changes, for the second finds the caches as the first left them.
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            times = _one_step(sides[place], batch, lr)
            if number >= WARM_UP_ROUNDS:
                samples[place].append(times)
    return _timing(*samples)


def _one_step(side: Side, batch: Batch, lr: float) -> dict[str, float]:
    timer = StageTimer(side.device)
    own = Batch(batch.x.to(side.device), batch.y.to(side.device), batch.indices)
    with side.running():
        train_step(timer.wrap_all(side.stages), own, side.of.parts, lr)
    times = dict(timer.elapsed_ms())
    return {**times, WHOLE: sum(times.values())}


def _timing(reference: Sequence[dict[str, float]], candidate: Sequence[dict[str, float]]) -> Timing:
    rows = []
    for stage in reference[0]:
        one, two = [sample[stage] for sample in reference], [sample[stage] for sample in candidate]
        ratios = [b / a if a else 1.0 for a, b in zip(one, two, strict=True)]
        low, high = interval(ratios, statistics.median)
        rows.append(
            StageTime(stage, statistics.median(one), statistics.median(two), statistics.median(ratios), low, high)
        )
    return Timing(
        len(reference),
        tuple(rows),
        tuple(sample[WHOLE] for sample in reference),
        tuple(sample[WHOLE] for sample in candidate),
    )
