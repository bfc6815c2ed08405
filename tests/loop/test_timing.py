"""The stage clock: which steps are timed, and what comes out."""

from __future__ import annotations

import torch

from trainloop.loop.timing import SKIPPED_STEPS, StageClock, no_lap


def test_the_first_steps_and_those_between_are_not_timed():
    clock = StageClock(torch.device("cpu"), every=10)
    timed = [step for step in range(40) if clock.lap(step) is not no_lap]
    assert timed == [SKIPPED_STEPS, SKIPPED_STEPS + 10, SKIPPED_STEPS + 20, SKIPPED_STEPS + 30]


def test_laps_of_one_stage_add_up_and_keep_the_order(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 3.5, 10.0])
    monkeypatch.setattr("trainloop.loop.timing.time.perf_counter", lambda: next(now))
    clock = StageClock(torch.device("cpu"), every=1)
    lap = clock.lap(SKIPPED_STEPS)
    for stage in ("forward", "backward", "forward", "step"):
        lap(stage)
    assert clock.stages_ms() == {"forward": 1500.0, "backward": 2000.0, "step": 6500.0}
    assert list(clock.stages_ms()) == ["forward", "backward", "step"]


def test_the_median_over_samples_is_reported(monkeypatch):
    now = iter([0.0, 0.001, 0.0, 0.009, 0.0, 0.002])
    monkeypatch.setattr("trainloop.loop.timing.time.perf_counter", lambda: next(now))
    clock = StageClock(torch.device("cpu"), every=1)
    for step in range(3):
        clock.lap(SKIPPED_STEPS + step)("forward")
    assert clock.stages_ms() == {"forward": 2.0}
    assert clock.method == "median of 3 sampled steps, one in 1, wall clock"


def test_no_sample_gives_no_times():
    assert StageClock(torch.device("cpu"), every=5).stages_ms() == {}
