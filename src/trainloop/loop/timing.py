"""Time per stage, measured on a sample of the steps so that the other steps pay nothing.

On the CPU a stage ends when its call returns. On cuda a stage is bracketed by two events that the device itself
stamps; they are read at the end. On mps the device is synchronised at each lap of a sampled step.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

Lap = Callable[[str], None]

SKIPPED_STEPS = 2
"""first steps, which allocate, compile and choose kernels, are never sampled"""


def no_lap(_: str) -> None:
    """Measure nothing."""


class StageClock:
    """Choose the steps that are timed, and keep their laps.

    Args:
        device: of the run.
        every: one step in this many is timed.
    """

    def __init__(self, device: torch.device, every: int) -> None:
        self.device = device
        self.every = every
        self._samples_ms: dict[str, list[float]] = defaultdict(list)
        self._sums: list[dict[str, float]] = []
        self._events: list[list[tuple[str, Any]]] = []

    @property
    def method(self) -> str:
        """Say in words how the times were taken."""
        how = {"cuda": "device events", "mps": "synchronised at each stage"}.get(self.device.type, "wall clock")
        return f"median of {self.num_samples} sampled steps, one in {self.every}, {how}"

    @property
    def num_samples(self) -> int:
        """Return how many steps were timed."""
        return len(self._sums) + len(self._events)

    def lap(self, step: int) -> Lap:
        """Return the function that step number ``step`` (from 0) calls at the end of each stage."""
        if step < SKIPPED_STEPS or (step - SKIPPED_STEPS) % self.every != 0:
            return no_lap
        return self._event_lap() if self.device.type == "cuda" else self._wall_lap()

    def _wall_lap(self) -> Lap:
        sums: dict[str, float] = {}
        self._sums.append(sums)
        synchronise = torch.mps.synchronize if self.device.type == "mps" else None
        if synchronise is not None:
            synchronise()
        last = time.perf_counter()

        def lap(stage: str) -> None:
            nonlocal last
            if synchronise is not None:
                synchronise()
            now = time.perf_counter()
            sums[stage] = sums.get(stage, 0.0) + 1e3 * (now - last)
            last = now

        return lap

    def _event_lap(self) -> Lap:
        events: list[tuple[str, Any]] = []
        self._events.append(events)

        def lap(stage: str) -> None:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            events.append((stage, event))

        lap("start")
        return lap

    def stages_ms(self) -> dict[str, float]:
        """Return the median time of each stage in ms, in the order of the step; waits for the device."""
        self._read_events()
        for sums in self._sums:
            for stage, elapsed in sums.items():
                self._samples_ms[stage].append(elapsed)
        medians = {stage: statistics.median(samples) for stage, samples in self._samples_ms.items()}
        self._samples_ms.clear()
        return medians

    def _read_events(self) -> None:
        if self._events:
            torch.cuda.synchronize(self.device)
        for events in self._events:
            sums: dict[str, float] = {}
            for (_, before), (stage, after) in itertools.pairwise(events):
                sums[stage] = sums.get(stage, 0.0) + before.elapsed_time(after)
            self._sums.append(sums)
        self._events.clear()
