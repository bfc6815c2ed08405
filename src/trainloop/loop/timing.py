"""Time per stage, measured on a sample of the steps so that the other steps pay nothing.

A sampled step runs with stages that are wrapped in a timer; every other step runs the bare stages. On the CPU a stage ends
when its call returns. On cuda it is bracketed by two events that the device itself stamps, read at the end. On mps the
device is synchronised before and after each stage.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from trainloop.stages import Stages

SKIPPED_STEPS = 2
"""first steps, which allocate, compile and choose kernels, are never sampled"""
LAST_STAGE = "step"

P = ParamSpec("P")
R = TypeVar("R")
Lap = tuple[str, Any, Any]
"""stage, stamp before, stamp after."""


class StageTimer:
    """Time the stages of one step.

    Args:
        device: of the run.
    """

    def __init__(self, device: torch.device) -> None:
        self._stamp = STAMPS.get(device.type, time.perf_counter)
        self.laps: list[Lap] = []

    def wrap(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` with a stamp before and after each call."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            began = self._stamp()
            result = function(*args, **kwargs)
            self.laps.append((name, began, self._stamp()))
            return result

        return timed

    def wrap_all(self, stages: Stages) -> Stages:
        """Return the stages, each wrapped under its own name."""
        names = [field.name for field in dataclasses.fields(stages)]
        return Stages(**{name: self.wrap(name, getattr(stages, name)) for name in names})

    def elapsed_ms(self) -> dict[str, float]:
        """Return the time of each stage; calls of one stage (a batch in parts) add up. Empty for an unfinished step."""
        sums: dict[str, float] = defaultdict(float)
        for name, began, ended in self.laps:
            sums[name] += began.elapsed_time(ended) if hasattr(began, "elapsed_time") else 1e3 * (ended - began)
        return sums if LAST_STAGE in sums else {}


def _cuda_stamp() -> Any:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _mps_stamp() -> float:
    torch.mps.synchronize()
    return time.perf_counter()


STAMPS: dict[str, Callable[[], Any]] = {"cuda": _cuda_stamp, "mps": _mps_stamp}
METHODS = {"cuda": "device events", "mps": "synchronised at each stage"}


class StageClock:
    """Choose the steps that are timed, and keep their times.

    Args:
        device: of the run.
        every: one step in this many is timed.
    """

    def __init__(self, device: torch.device, every: int) -> None:
        self.device = device
        self.every = every
        self._timers: list[StageTimer] = []

    def timer(self, step: int) -> StageTimer | None:
        """Return the timer of step number ``step`` (from 0), or None for a step that is not timed."""
        if step < SKIPPED_STEPS or (step - SKIPPED_STEPS) % self.every != 0:
            return None
        timer = StageTimer(self.device)
        self._timers.append(timer)
        return timer

    def stages_ms(self) -> dict[str, float]:
        """Return the median time of each stage in ms, in the order of the step; waits for the device."""
        medians = {}
        samples = self._samples()
        for name in dict.fromkeys(name for sample in samples for name in sample):
            medians[name] = statistics.median(sample[name] for sample in samples if name in sample)
        return medians

    @property
    def method(self) -> str:
        """Say in words how the times were taken."""
        how = METHODS.get(self.device.type, "wall clock")
        return f"median of {len(self._samples())} sampled steps, one in {self.every}, {how}"

    def _samples(self) -> list[dict[str, float]]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return [sample for timer in self._timers if (sample := timer.elapsed_ms())]
