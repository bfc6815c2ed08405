"""Times of both sides; no time is asserted, only what is made of them."""

from __future__ import annotations

import statistics

import pytest

from trainloop.compare.api import _as_batches
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.timing import MAX_ROUNDS, MIN_ROUNDS, WHOLE, interval, measure_both
from trainloop.data.pipeline import Batch

VALUES = [1.0, 1.1, 0.9, 1.05, 0.95, 3.0, 1.02]


def test_the_interval_is_around_the_statistic():
    low, high = interval(VALUES, statistics.median)
    assert low <= statistics.median(VALUES) <= high


def test_the_interval_stays_within_the_values():
    low, high = interval(VALUES, statistics.median)
    assert min(VALUES) <= low <= high <= max(VALUES)


def test_the_interval_is_the_same_every_time():
    assert interval(VALUES, statistics.median) == interval(VALUES, statistics.median)


def test_equal_values_have_an_interval_of_no_width():
    assert interval([2.0] * 5, statistics.median) == (2.0, 2.0)


def test_more_of_the_same_values_make_the_interval_narrower():
    few, many = interval(VALUES, statistics.fmean), interval(VALUES * 16, statistics.fmean)
    assert many[1] - many[0] < few[1] - few[0]


def test_the_interval_moves_with_the_values():
    low, high = interval(VALUES, statistics.median)
    moved = interval([value + 1 for value in VALUES], statistics.median)
    assert moved == pytest.approx((low + 1, high + 1))


@pytest.fixture
def timing(training_step, batches):
    one, two = training_step().implementation(REFERENCE), training_step().implementation(CANDIDATE)
    first: Batch = next(iter(_as_batches(batches)))
    return measure_both(one, two, first, 1.0, budget_s=0.0)


def test_a_spent_budget_still_allows_some_rounds(timing):
    assert timing.rounds == MIN_ROUNDS < MAX_ROUNDS


def test_every_stage_and_the_whole_step_have_a_row(timing):
    assert [row.stage for row in timing.stages] == ["zero_grad", "forward", "loss", "backward", "sync", "step", WHOLE]


def test_every_round_of_both_sides_is_a_sample(timing):
    assert len(timing.reference_samples_ms) == len(timing.candidate_samples_ms) == timing.rounds


def test_each_ratio_lies_in_its_interval(timing):
    assert all(row.ratio_low <= row.ratio <= row.ratio_high for row in timing.stages)


def test_the_start_weights_stay_what_they_are(training_step, batches):
    step = training_step()
    before = [param.clone() for param in step.model.parameters()]
    measure_both(step.implementation(REFERENCE), step.implementation(CANDIDATE), next(iter(_as_batches(batches))), 1.0)
    assert all(bool((a == b).all()) for a, b in zip(before, step.model.parameters(), strict=True))
