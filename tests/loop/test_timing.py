"""The stage clock: which steps are timed, and what comes out."""

from __future__ import annotations

import dataclasses

import torch

from trainloop.loop.timing import SKIPPED_STEPS, StageClock
from trainloop.stages import Stages

CPU = torch.device("cpu")


def tick(monkeypatch, *times):
    now = iter(times)
    monkeypatch.setattr("trainloop.loop.timing.time.perf_counter", lambda: next(now))


def sample(clock, step, *names):
    timer = clock.timer(SKIPPED_STEPS + step)
    for name in names:
        timer.wrap(name, lambda: None)()


def test_the_first_steps_and_those_between_are_not_timed():
    clock = StageClock(CPU, every=10)
    timed = [step for step in range(40) if clock.timer(step) is not None]
    assert timed == [SKIPPED_STEPS, SKIPPED_STEPS + 10, SKIPPED_STEPS + 20, SKIPPED_STEPS + 30]


def test_calls_of_one_stage_add_up_and_keep_the_order(monkeypatch):
    tick(monkeypatch, 0.0, 1.0, 1.0, 3.0, 3.0, 3.5, 3.5, 10.0)
    clock = StageClock(CPU, every=1)
    sample(clock, 0, "forward", "backward", "forward", "step")
    assert clock.stages_ms() == {"forward": 1500.0, "backward": 2000.0, "step": 6500.0}
    assert list(clock.stages_ms()) == ["forward", "backward", "step"]


def test_the_median_over_samples_is_reported(monkeypatch):
    tick(monkeypatch, 0.0, 0.001, 0.0, 0.009, 0.0, 0.002)
    clock = StageClock(CPU, every=1)
    for step in range(3):
        sample(clock, step, "step")
    assert clock.stages_ms() == {"step": 2.0}
    assert clock.method == "median of 3 sampled steps, one in 1, wall clock"


def test_a_step_that_never_came_is_no_sample():
    clock = StageClock(CPU, every=1)
    sample(clock, 0, "data")
    assert clock.stages_ms() == {}
    assert clock.method.startswith("median of 0 sampled steps")


def test_wrapped_stages_do_what_the_stages_do():
    stages = Stages(
        zero_grad=lambda: None,
        forward=lambda x: 2 * x,
        loss=lambda logits, labels: logits - labels,
        backward=lambda _: None,
        sync=lambda: None,
        step=lambda _: None,
    )
    clock = StageClock(CPU, every=1)
    timed = clock.timer(SKIPPED_STEPS).wrap_all(stages)
    assert timed.loss(timed.forward(3), 1) == 5
    timed.step(0.1)
    assert list(clock.stages_ms()) == ["forward", "loss", "step"]
    assert {field.name for field in dataclasses.fields(timed)} == {field.name for field in dataclasses.fields(stages)}


def test_no_sample_gives_no_times():
    assert StageClock(CPU, every=5).stages_ms() == {}
