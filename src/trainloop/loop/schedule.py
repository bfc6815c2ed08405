"""The lr as a pure function of the step: no state, so nothing to save and nothing to lose.

Step t counts from 0 to T − 1, where T is the number of updates of the run. A schedule gives lr(t) / lr_peak. With a linear
warm-up of w steps the factor of step t < w is (t + 1) / (w + 1), and the schedule's own shape is laid over the T − w
steps that remain.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainloop.config.schema import (
    ConstantConfig,
    CosineConfig,
    MultistepConfig,
    OneCycleConfig,
    RunConfig,
    ScheduleConfig,
    TriangleConfig,
)


@dataclass(frozen=True)
class Span:
    """How long a run is.

    Args:
        total_steps: T, the number of updates.
        steps_per_epoch: updates an epoch; milestones and the warm-up are given in epochs.
    """

    total_steps: int
    steps_per_epoch: int


def run_span(config: RunConfig, steps_per_epoch: int) -> Span:
    """Return the number of updates: ``train.epochs`` of them, or ``train.max_steps`` if that is less."""
    steps = config.train.epochs * steps_per_epoch
    return Span(min(steps, config.train.max_steps or steps), steps_per_epoch)


Shape = Callable[[int], float]
"""step (after the warm-up) → fraction of the peak lr."""


def constant(config: ConstantConfig, span: Span) -> Shape:  # noqa: ARG001 - every shape has this signature
    """Return 1 for every step."""
    return lambda _: 1.0


def cosine(config: CosineConfig, span: Span) -> Shape:
    """Return end + (1 − end) · (1 + cos(π t / T)) / 2."""
    return lambda step: between(1.0, config.end, half_cosine(step / span.total_steps))


def triangle(config: TriangleConfig, span: Span) -> Shape:
    """Return straight lines: start at step 0, 1 at peak · T, end at T."""
    return two_sided(config, span, straight)


def one_cycle(config: OneCycleConfig, span: Span) -> Shape:
    """Return half cosines: start at step 0, 1 at peak · T, end at T."""
    return two_sided(config, span, half_cosine)


def multistep(config: MultistepConfig, span: Span) -> Shape:
    """Return gamma to the power of the number of milestones passed."""
    milestones = sorted(round(epochs * span.steps_per_epoch) for epochs in config.milestones)
    return lambda step: config.gamma ** bisect_right(milestones, step)


SCHEDULES: dict[str, Callable[[Any, Span], Shape]] = {
    "constant": constant,
    "cosine": cosine,
    "triangle": triangle,
    "one_cycle": one_cycle,
    "multistep": multistep,
}


def build_schedule(config: ScheduleConfig, span: Span, peak_lr: float) -> Callable[[int], float]:
    """Return the function step → lr.

    Args:
        config: the schedule section.
        span: length of the run.
        peak_lr: ``optimizer.lr``.

    Returns:
        A pure function of the step, defined for 0 ≤ step < total_steps.
    """
    warmup = min(round(config.warmup_epochs * span.steps_per_epoch), span.total_steps)
    # Milestones are epochs of the whole run, so their steps count from the run's start, warm-up included.
    offset = 0 if config.name == "multistep" else warmup
    shape = SCHEDULES[config.name](config, Span(max(span.total_steps - offset, 1), span.steps_per_epoch))

    def lr(step: int) -> float:
        if step < warmup:
            return peak_lr * (step + 1) / (warmup + 1)
        return peak_lr * shape(step - offset)

    return lr


def two_sided(config: TriangleConfig | OneCycleConfig, span: Span, curve: Callable[[float], float]) -> Shape:
    """Return the shape that rises from start to 1 along ``curve`` and falls from 1 to end along it."""
    top = config.peak * span.total_steps

    def shape(step: int) -> float:
        if step < top:
            return between(config.start, 1.0, curve(step / top))
        return between(1.0, config.end, curve((step - top) / (span.total_steps - top)))

    return shape


def between(start: float, end: float, progress: float) -> float:
    """Return the value at ``progress`` in [0, 1] on the way from start to end."""
    return start + (end - start) * progress


def straight(progress: float) -> float:
    """Return the progress itself."""
    return progress


def half_cosine(progress: float) -> float:
    """Return (1 − cos(π progress)) / 2."""
    return (1 - math.cos(math.pi * progress)) / 2
