"""Learning rate schedules: corner values by hand, and torch's own where it has the same shape."""

from __future__ import annotations

import pytest
import torch

from trainloop.config.schema import (
    ConstantConfig,
    CosineConfig,
    MultistepConfig,
    OneCycleConfig,
    SGDConfig,
    TriangleConfig,
)
from trainloop.loop.schedule import SCHEDULES, Span, build_schedule

SPAN = Span(total_steps=100, steps_per_epoch=10)


def values(config, span=SPAN, peak_lr=0.4):
    lr = build_schedule(config, span, peak_lr)
    return [lr(step) for step in range(span.total_steps)]


def torch_values(make, steps=100, peak_lr=0.4):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak_lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_every_schedule_of_the_schema_is_registered():
    from typing import get_args

    from trainloop.config.schema import ScheduleConfig

    sections = get_args(get_args(ScheduleConfig)[0])
    assert {get_args(section.model_fields["name"].annotation)[0] for section in sections} == set(SCHEDULES)


def test_constant_stays_at_the_peak():
    assert values(ConstantConfig(name="constant")) == [0.4] * 100


def test_cosine_is_torch_s():
    theirs = torch_values(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=100, eta_min=0.04))
    assert values(CosineConfig(end=0.1)) == pytest.approx(theirs, rel=1e-12)


def test_multistep_is_torch_s():
    theirs = torch_values(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[30, 65], gamma=0.2))
    assert values(MultistepConfig(name="multistep", milestones=(3.0, 6.5), gamma=0.2)) == pytest.approx(theirs)


def test_one_cycle_rises_and_falls_on_half_cosines():
    found = values(OneCycleConfig(name="one_cycle", start=0.1, peak=0.25, end=0.0))
    assert found[0] == pytest.approx(0.04)
    assert found[25] == pytest.approx(0.4)
    assert found[12] < (0.04 + 0.4) / 2 < found[13]
    assert 0 < found[99] < 1e-3
    assert found[:26] == sorted(found[:26])
    assert found[25:] == sorted(found[25:], reverse=True)


def test_triangle_is_two_straight_lines():
    found = values(TriangleConfig(name="triangle", start=0.2, peak=0.5, end=0.1))
    assert found[0] == pytest.approx(0.08)
    assert found[50] == pytest.approx(0.4)
    assert found[25] == pytest.approx((0.08 + 0.4) / 2)
    assert found[75] == pytest.approx((0.4 + 0.04) / 2)


def test_warm_up_is_linear_and_the_shape_fills_the_rest():
    found = values(CosineConfig(warmup_epochs=1.9))
    assert found[:19] == pytest.approx([0.4 * (step + 1) / 20 for step in range(19)])
    assert found[19] == 0.4
    assert found[19:] == pytest.approx(values(CosineConfig(), Span(81, 10)))


def test_milestones_count_from_the_start_of_the_run_with_a_warm_up():
    found = values(MultistepConfig(name="multistep", milestones=(3.0,), gamma=0.5, warmup_epochs=2))
    assert found[29] == 0.4
    assert found[30] == 0.2


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.1, 5.0])
def test_very_short_runs_have_an_lr_at_every_step(total_steps, warmup_epochs):
    for config in (
        CosineConfig(warmup_epochs=warmup_epochs),
        TriangleConfig(name="triangle", warmup_epochs=warmup_epochs),
        OneCycleConfig(name="one_cycle", warmup_epochs=warmup_epochs),
    ):
        assert all(0 < lr <= 0.4 for lr in values(config, Span(total_steps, 10)))


def test_the_lr_is_a_pure_function_of_the_step():
    lr = build_schedule(TriangleConfig(name="triangle"), SPAN, SGDConfig().lr)
    backwards = [lr(step) for step in reversed(range(100))]
    assert backwards[::-1] == [lr(step) for step in range(100)]
