"""Each side on its own way."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from trainloop.compare.api import _as_batches
from trainloop.compare.evidence import Standpoint
from trainloop.compare.free_run import FreeRunner
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.key import Key
from trainloop.compare.record import observe
from trainloop.compare.replay import replay
from trainloop.compare.tally import unequal
from trainloop.loop.step import train_step

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def follow(training_step, batches):
    """Run both sides and return the runner: ``follow(candidate step)``."""

    def run(candidate):
        one, two = training_step().implementation(REFERENCE).side(), candidate.implementation(CANDIDATE).side()
        runner = FreeRunner(two.of)
        for number, batch in enumerate(_as_batches(batches)):
            standpoint = Standpoint.of(two)
            record = observe(one, batch, 1.0, case="config", step=number + 1)
            same = not list(unequal(record, replay(two, record).outputs))
            runner.follow(record, (two, standpoint), same=same)
        return runner

    return run


def test_as_long_as_the_bits_agree_nothing_is_run(follow, training_step):
    runner = follow(training_step())
    found = runner.result()
    assert runner._side is None
    assert found.reference_losses == found.candidate_losses
    assert found.weight_distances == (0.0, 0.0, 0.0)


def test_the_candidate_goes_the_way_that_it_would_go_alone(follow, training_step, batches):
    found = follow(training_step(lr=0.2)).result()
    alone = training_step(lr=0.2).implementation(CANDIDATE).side()
    losses = [train_step(alone.stages, batch, 1, 1.0).loss.item() for batch in _as_batches(batches)]
    assert found.candidate_losses == tuple(losses)


def test_the_distance_grows(follow, training_step):
    first, second, third = follow(training_step(lr=0.2)).result().weight_distances
    assert 0 < first < second < third


class LateFault(torch.optim.SGD):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        self.t = 0

    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            group["lr"] *= 2 if self.t == 2 else 1
        return super().step(closure)


def test_it_sets_out_at_the_first_step_that_differs(follow, training_step):
    found = follow(training_step(LateFault)).result()
    assert found.weight_distances[0] == 0.0
    assert found.weight_distances[1] > 0
    assert found.reference_losses[:2] == found.candidate_losses[:2]
    assert found.reference_losses[2] != found.candidate_losses[2]


class FailsLate(LateFault):
    def step(self, closure=None):
        if any(group["params"][0].abs().max() > 1e3 for group in self.param_groups):
            raise ValueError("too large")
        with torch.no_grad():
            for group in self.param_groups:
                group["params"][0].mul_(1e4)
        return super().step(closure)


def test_a_failure_on_its_own_way_is_told_and_ends_it(follow, training_step):
    runner = follow(training_step(FailsLate))
    assert runner.failure == "on its own way the candidate failed at step 2: ValueError: too large"
    assert len(runner.result().reference_losses) == 3
    assert len(runner.result().candidate_losses) == 1


def test_the_random_streams_stand_where_the_reference_left_them(training_step, batches):
    one = training_step().implementation(REFERENCE).side()
    two = training_step(partial(torch.optim.SGD), lr=0.2).implementation(CANDIDATE).side()
    batch = next(iter(_as_batches(batches)))
    standpoint, record = Standpoint.of(two), observe(one, batch, 1.0, case="config", step=1)
    after = torch.get_rng_state()
    FreeRunner(two.of).follow(record, (two, standpoint), same=False)
    assert torch.equal(torch.get_rng_state(), after)
    assert record.outputs["loss"][Key("loss")] is not None
