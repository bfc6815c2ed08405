"""The oracle, the twin and the noise; forks that stand where their side stood."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.evidence import Standpoint, forked, gather, reversed_rows, with_rows_reversed
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.key import STAGES, Key
from trainloop.compare.record import State, observe
from trainloop.compare.replay import replay
from trainloop.data.pipeline import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, foreach=False)
LOSS = Key("loss")


def net(p=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(p), nn.Linear(64, 5))


def batch(number=0):
    generator = torch.Generator().manual_seed(number)
    return Batch(torch.randn(4, 3, 6, 6, generator=generator), torch.arange(4) % 5, torch.arange(4))


def gathered(stages=STAGES, differing=(), model=None, **changes):
    model = net() if model is None else model
    one = TrainingStep(model, SGD).implementation(REFERENCE).side()
    two = TrainingStep(**{"model": model, "optimizer": SGD, **changes}).implementation(CANDIDATE).side()
    standpoints = Standpoint.of(one), Standpoint.of(two)
    record = observe(one, batch(), 1.0, case="config", step=1)
    outputs = replay(two, record).outputs
    differs = {(stage, key): outputs[stage][key] for stage, key in differing}
    return record, gather(record, (one, standpoints[0]), (two, standpoints[1]), stages, differs)


# Oracle and twin


def test_the_error_of_the_reference_is_a_rounding_error():
    record, evidence = gathered()
    error, loss = evidence.errors["loss"][LOSS], record.outputs["loss"][LOSS].item()
    assert 0 < error < 1e-6 * loss


def test_the_oracle_is_the_reference_in_float64():
    record, evidence = gathered(differing={("loss", LOSS)})
    logits = record.logits.double()
    assert evidence.oracle["loss"][LOSS].dtype == torch.float64
    assert evidence.oracle["loss"][LOSS].item() == pytest.approx(
        F.cross_entropy(logits, record.batch.y).item(), rel=1e-15
    )


def test_the_twin_is_the_candidate_in_float64():
    def doubled(logits, labels):
        return F.cross_entropy(logits, labels) * 2

    _, evidence = gathered(differing={("loss", LOSS)}, loss=doubled)
    assert evidence.twin["loss"][LOSS].item() == pytest.approx(2 * evidence.oracle["loss"][LOSS].item(), rel=1e-15)


def test_only_what_differs_is_kept():
    _, evidence = gathered(differing={("loss", LOSS)})
    assert {stage: list(tensors) for stage, tensors in evidence.oracle.items() if tensors} == {"loss": [LOSS]}


def test_no_twin_is_computed_where_nothing_differs():
    _, evidence = gathered()
    assert evidence.twin == {}


def test_a_candidate_that_refuses_float64_has_no_twin_but_a_reason():
    def single(logits, labels):
        if logits.dtype != torch.float32:
            raise TypeError("float32 alone")
        return F.cross_entropy(logits, labels)

    _, evidence = gathered(differing={("loss", LOSS)}, loss=single)
    assert (evidence.twin, evidence.twin_refusal) == ({}, "TypeError: float32 alone")
    assert LOSS in evidence.oracle["loss"]


# Noise


def test_the_noise_is_what_harmless_changes_do():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _, evidence = gathered()
    finally:
        torch.set_num_threads(threads)
    assert evidence.variants == ("one thread", "the batch in reverse order", "another memory format")


def test_the_noise_is_as_small_as_rounding():
    record, evidence = gathered()
    largest = record.outputs["backward"][Key("grad", "0.weight")].abs().max().item()
    assert evidence.noise["backward"][Key("grad", "0.weight")] < 1e-5 * largest


def test_the_order_of_the_batch_changes_no_loss_by_more_than_rounding():
    """Its images, labels and activations are turned around together."""
    _, evidence = gathered()
    assert evidence.noise["forward"][Key("logits")] < 1e-5
    assert evidence.noise["loss"][LOSS] < 1e-5


def test_with_dropout_the_batch_keeps_its_order():
    _, evidence = gathered(model=net(p=0.5))
    assert "the batch in reverse order" not in evidence.variants
    assert all(math.isfinite(noise) and noise < 1e-4 for noise in evidence.noise["forward"].values())


def test_the_random_streams_stand_where_the_step_left_them():
    model = net(p=0.5)
    one, two = (TrainingStep(model, SGD).implementation(name).side() for name in (REFERENCE, CANDIDATE))
    standpoints = Standpoint.of(one), Standpoint.of(two)
    record = observe(one, batch(), 1.0, case="config", step=1)
    after = torch.get_rng_state()
    gather(record, (one, standpoints[0]), (two, standpoints[1]), STAGES, {})
    assert torch.equal(torch.get_rng_state(), after)


def test_the_sides_are_left_alone():
    one, two = (TrainingStep(net(), SGD).implementation(name).side() for name in (REFERENCE, CANDIDATE))
    standpoints = Standpoint.of(one), Standpoint.of(two)
    record = observe(one, batch(), 1.0, case="config", step=1)
    outputs = replay(two, record).outputs
    gather(record, (one, standpoints[0]), (two, standpoints[1]), STAGES, {("loss", LOSS): outputs["loss"][LOSS]})
    for side in (one, two):
        assert torch.equal(side.params()["0.weight"], record.outputs["step"][Key("param", "0.weight")])


def test_rows_are_turned_around_where_there_are_rows():
    tensors = {Key("logits"): torch.tensor([[1.0], [2.0]]), Key("buffer", "mean"): torch.tensor([1.0, 2.0])}
    turned = with_rows_reversed(tensors, 2)
    assert turned[Key("logits")].tolist() == [[2.0], [1.0]]
    assert turned[Key("buffer", "mean")].tolist() == [1.0, 2.0]


def test_a_record_turned_around_twice_is_itself():
    record, _ = gathered()
    twice = reversed_rows(reversed_rows(record))
    assert torch.equal(twice.batch.x, record.batch.x)
    assert torch.equal(twice.logits, record.logits)


# Forks


class Counting(torch.optim.Optimizer):
    """Counts in every place that an optimizer may count in: an attribute, a group, a number and a tensor of the state."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            for param in group["params"]:
                state = self.state[param]
                state["number"] = state.get("number", 0) + 1
                state["tensor"] = state.get("tensor", torch.zeros(())) + 1
                state["sum"] = state.get("sum", torch.zeros_like(param)) + param.grad
                param.sub_(state["sum"], alpha=group["lr"] / (self.t * group["count"] * state["number"]))


@pytest.fixture
def counted():
    """Return a side that has made two steps, with its standpoint."""
    side = TrainingStep(net(), partial(Counting, lr=0.1)).implementation(CANDIDATE).side()
    for number in range(2):
        observe(side, batch(number), 1.0, case="config", step=number + 1)
    return side, Standpoint.of(side), State.of(side)


def test_a_fork_has_every_count_of_its_side(counted):
    side, standpoint, state = counted
    fork = forked(side.of, side, state, standpoint)
    optimizer = fork.optimizers[0]
    entries = optimizer.state[fork.model[0].weight]
    assert (optimizer.t, optimizer.param_groups[0]["count"], entries["number"], entries["tensor"].item()) == (
        2,
        2,
        2,
        2.0,
    )
    assert type(entries["number"]) is int


def test_a_fork_makes_the_next_step_of_its_side(counted):
    side, standpoint, state = counted
    fork = forked(side.of, side, state, standpoint)
    for one in (side, fork):
        observe(one, batch(2), 1.0, case="config", step=3)
    assert torch.equal(side.params()["0.weight"], fork.params()["0.weight"])


def test_a_fork_goes_back_to_where_its_side_stood(counted):
    side, standpoint, state = counted
    observe(side, batch(2), 1.0, case="config", step=3)
    fork = forked(side.of, side, state, standpoint)
    assert fork.optimizers[0].t == 2
    assert torch.equal(fork.params()["0.weight"], state.params["0.weight"])


def test_a_fork_in_float64_has_its_state_in_float64(counted):
    side, standpoint, state = counted
    fork = forked(side.of, side, state, standpoint, dtype=torch.float64, exact=True)
    entries = fork.optimizers[0].state[fork.model[0].weight]
    assert entries["sum"].dtype == torch.float64
    assert torch.equal(entries["sum"].float(), side.optimizer_state()["0.weight", "sum"])


def test_a_fork_shares_nothing_with_its_side(counted):
    side, standpoint, state = counted
    before = side.params()["0.weight"].clone()
    fork = forked(side.of, side, state, standpoint)
    observe(fork, batch(2), 1.0, case="config", step=3)
    assert torch.equal(side.params()["0.weight"], before)
    assert side.optimizers[0].t == 2
