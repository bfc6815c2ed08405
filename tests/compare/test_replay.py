"""The candidate on the recorded inputs: a fault shows in its own stage alone, and nothing is inherited."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.guard import SideError
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.key import STAGES, Key
from trainloop.compare.record import State, observe
from trainloop.compare.replay import Replayed, differing, put_exactly, replay
from trainloop.compare.tally import unequal
from trainloop.data.pipeline import Batch

pytestmark = pytest.mark.usefixtures("one_thread")


class Net(nn.Module):
    """Three layers and a factor on the output of the second, so that a forward can be wrong in the middle."""

    def __init__(self, factor=1.0, p=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(p)
        self.act, self.head = nn.LeakyReLU(0.01 * factor), nn.Linear(64, 5)

    def forward(self, x):
        return self.head(self.drop(self.act(self.norm(self.conv(x)))).flatten(1))


class KeepsGradients(torch.optim.SGD):
    def zero_grad(self, set_to_none=True):
        """Clear nothing."""


SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, foreach=False)
FAULTS = {
    "zero_grad": {"optimizer": partial(KeepsGradients, lr=0.1, momentum=0.9, foreach=False)},
    "forward": {"model": Net(factor=1.5)},
    "loss": {"loss": lambda logits, labels: F.cross_entropy(logits, labels) * 1.5},
    "backward": {"backward": lambda loss: (loss * 1.5).backward()},
    "sync": {"clip": lambda params: nn.utils.clip_grad_norm_(params, 0.01)},
    "step": {"optimizer": partial(torch.optim.SGD, lr=0.15, momentum=0.9, foreach=False)},
}


def step(**changes):
    return TrainingStep(**{"model": Net(), "optimizer": SGD, **changes})


def batch(number=0):
    generator = torch.Generator().manual_seed(number)
    return Batch(torch.randn(4, 3, 6, 6, generator=generator), torch.arange(4) % 5, torch.arange(4))


def second_step(**changes):
    """Return the record of a second step of the reference, and a candidate that stands before it."""
    one = step().implementation(REFERENCE).side()
    two = step(**changes).implementation(CANDIDATE).side()
    first = observe(one, batch(0), 1.0, case="config", step=1)
    replay(two, first)
    return observe(one, batch(1), 1.0, case="config", step=2), two


def stages_that_differ(record, replayed):
    return list(dict.fromkeys(stage for stage, _, _ in unequal(record, replayed.outputs)))


def test_without_a_fault_no_stage_differs():
    record, candidate = second_step()
    assert stages_that_differ(record, replay(candidate, record)) == []


def test_a_tape_without_a_fault_differs_nowhere():
    record, candidate = second_step(tape=True)
    assert stages_that_differ(record, replay(candidate, record)) == []


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("loss", "forward")])
def test_a_fault_shows_in_its_own_stage_alone(stage):
    record, candidate = second_step(**FAULTS[stage])
    assert stages_that_differ(record, replay(candidate, record)) == [stage]


def test_a_fault_of_a_module_shows_at_this_module_and_in_its_gradient_alone():
    """The slope of the activation is wrong, in the forward and, by the same number, in the backward."""
    record, candidate = second_step(**FAULTS["forward"])
    found = [(stage, str(key)) for stage, key, _ in unequal(record, replay(candidate, record).outputs)]
    forward = [name for stage, name in found if stage == "forward"]
    assert forward == ["activation of act"]
    assert not [name for _, name in found if "head" in name]


def test_a_fault_of_the_loss_shows_in_the_loss_and_in_the_gradient_that_begins_with_it():
    record, candidate = second_step(**FAULTS["loss"])
    assert stages_that_differ(record, replay(candidate, record)) == ["loss", "backward"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_candidate_stands_where_the_reference_stands_afterwards(stage):
    one = step().implementation(REFERENCE).side()
    two = step(**FAULTS[stage]).implementation(CANDIDATE).side()
    for number in range(2):
        replay(two, observe(one, batch(number), 1.0, case="config", step=number + 1))
    here, there = State.of(one), State.of(two)
    for kind in ("params", "buffers", "optimizer"):
        wanted, found = getattr(here, kind), getattr(there, kind)
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted), kind


def test_the_random_streams_stand_where_the_reference_left_them():
    one, two = (step(model=Net(p=0.5)).implementation(name).side() for name in (REFERENCE, CANDIDATE))
    torch.manual_seed(3)
    record = observe(one, batch(), 1.0, case="config", step=1)
    after = torch.get_rng_state()
    replay(two, record)
    assert torch.equal(torch.get_rng_state(), after)


def test_dropout_drops_the_same_elements():
    one, two = (step(model=Net(p=0.5)).implementation(name).side() for name in (REFERENCE, CANDIDATE))
    record = observe(one, batch(), 1.0, case="config", step=1)
    assert stages_that_differ(record, replay(two, record)) == []


@pytest.mark.parametrize("stage", ["zero_grad", "sync", "step"])
def test_a_stage_can_be_replayed_alone(stage):
    record, candidate = second_step()
    assert list(replay(candidate, record, [stage]).outputs) == [stage]


def test_forward_loss_and_backward_run_together():
    record, candidate = second_step()
    assert list(replay(candidate, record, ["loss"]).outputs) == ["forward", "loss", "backward"]


# What it did beside its task


class Draws(torch.optim.SGD):
    def step(self, closure=None):
        torch.rand(1)
        return super().step(closure)


class ChangesGradients(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for param in self.param_groups[0]["params"]:
            param.grad.mul_(2)


class Doubles(Net):
    def forward(self, x):
        with torch.no_grad():
            x.mul_(2)
        return super().forward(x)


class DrawsInForward(Net):
    def forward(self, x):
        torch.rand(1)
        return super().forward(x)


@pytest.mark.parametrize(
    ("changes", "stage", "remark"),
    [
        ({"optimizer": partial(Draws, lr=0.1)}, "step", "it drew other random numbers than the reference"),
        (
            {"optimizer": partial(ChangesGradients, lr=0.1)},
            "step",
            "it changed the gradient that it was given, of conv.weight",
        ),
        ({"model": Doubles()}, "forward", "it changed the images or the labels"),
        ({"model": DrawsInForward()}, "forward", "it drew other random numbers than the reference"),
    ],
)
def test_what_a_stage_does_beside_its_task_is_remarked_on(changes, stage, remark):
    record, candidate = second_step(**changes)
    assert replay(candidate, record).remarks[stage].startswith(remark)


def test_a_nan_that_nobody_touched_is_no_remark():
    one, two = step().implementation(REFERENCE).side(), step().implementation(CANDIDATE).side()
    images = batch()
    images.x[0, 0, 0, 0] = torch.nan
    assert replay(two, observe(one, images, 1.0, case="config", step=1)).remarks == {}


def test_images_that_a_candidate_changes_do_not_reach_the_batch():
    record, candidate = second_step(model=Doubles())
    replay(candidate, record)
    assert torch.equal(record.batch.x, batch(1).x)


class OwnEntries(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for param in self.param_groups[0]["params"]:
            self.state[param]["extra"] = torch.zeros(2, 2)


class Renames(torch.optim.SGD):
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            if "velocity" in self.state[param]:
                self.state[param]["momentum_buffer"] = self.state[param].pop("velocity")
        super().step(closure)
        for param in self.param_groups[0]["params"]:
            self.state[param]["velocity"] = self.state[param].pop("momentum_buffer")


def test_entries_with_another_name_are_matched_from_the_first_step_on():
    one, two = (
        step(optimizer=partial(kind, lr=0.1, momentum=0.9)).implementation(name).side()
        for kind, name in ((torch.optim.SGD, REFERENCE), (Renames, CANDIDATE))
    )
    replayed = replay(two, observe(one, batch(), 1.0, case="config", step=1))
    assert replayed.unmatched == ()
    assert Key("state", "head.bias", "momentum_buffer") in replayed.outputs["step"]


def test_entries_that_the_reference_has_not_are_listed():
    record, candidate = second_step(optimizer=partial(OwnEntries, lr=0.1, momentum=0.9))
    assert replay(candidate, record).unmatched == ("extra",)


# Failures


def fails(*_):
    raise ValueError("no")


def test_a_failure_keeps_the_outputs_of_the_stages_before():
    one, two = step().implementation(REFERENCE).side(), step(clip=fails).implementation(CANDIDATE).side()
    record = observe(one, batch(), 1.0, case="config", step=1)
    with pytest.raises(SideError) as caught:
        replay(two, record)
    assert list(caught.value.outputs) == ["zero_grad", "forward", "loss", "backward"]


def test_a_failing_loss_keeps_the_logits():
    one, two = step().implementation(REFERENCE).side(), step(loss=fails).implementation(CANDIDATE).side()
    record = observe(one, batch(), 1.0, case="config", step=1)
    with pytest.raises(SideError) as caught:
        replay(two, record)
    assert torch.equal(caught.value.outputs["forward"][Key("logits")], record.logits)


def test_a_failing_backward_keeps_the_loss():
    one, two = step().implementation(REFERENCE).side(), step(backward=fails).implementation(CANDIDATE).side()
    record = observe(one, batch(), 1.0, case="config", step=1)
    with pytest.raises(SideError) as caught:
        replay(two, record)
    assert torch.equal(caught.value.outputs["loss"][Key("loss")], record.outputs["loss"][Key("loss")])


# Overwriting


def test_only_entries_with_other_values_are_overwritten():
    same, other = torch.ones(2), torch.zeros(2)
    own = {("w", "a"): same, ("w", "b"): other}
    wanted = {("w", "a"): same.clone(), ("w", "b"): torch.ones(2), ("w", "c"): torch.ones(2)}
    assert list(differing(own, wanted)) == [("w", "b")]


def test_integers_are_overwritten_too():
    count = torch.tensor(3)
    put_exactly(count, torch.tensor(5))
    assert count.item() == 5


def test_none_overwrites_nothing():
    count = torch.tensor(3)
    put_exactly(count, None)
    assert count.item() == 3


def test_nothing_is_replayed_at_first():
    assert Replayed().outputs == {}
