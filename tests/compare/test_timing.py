"""Times of both sides; no time is asserted, only what is made of them."""

from __future__ import annotations

import pytest

from trainloop.compare.api import _as_batches
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.timing import MAX_ROUNDS, MIN_ROUNDS, WHOLE, measure_both
from trainloop.data.pipeline import Batch


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
