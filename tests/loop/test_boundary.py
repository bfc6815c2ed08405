"""The step boundary: counts, and groups of steps."""

from __future__ import annotations

import torch

from trainloop.loop.boundary import HELD_STEPS, StepBoundary
from trainloop.loop.events import StepsDone
from trainloop.loop.step import StepResult

CPU = torch.device("cpu")


def result(loss, predictions):
    logits = torch.nn.functional.one_hot(torch.tensor(predictions), 4).float()
    return StepResult(torch.tensor(loss), logits)


def records_of(events):
    return [record for event in events if isinstance(event, StepsDone) for record in event.records]


def test_a_step_is_reported_with_its_numbers():
    events = []
    boundary = StepBoundary(events.append, CPU)
    boundary(1, 0.5, result(1.25, [0, 1, 2]), torch.tensor([0, 1, 3]))
    boundary.flush()
    (record,) = records_of(events)
    assert (record.step, record.epoch, record.lr, record.loss, record.correct, record.samples) == (
        1,
        1,
        0.5,
        1.25,
        2,
        3,
    )


def test_epoch_sums_weigh_steps_by_their_images():
    boundary = StepBoundary([].append, CPU)
    boundary.start_epoch()
    boundary(1, 0.1, result(1.0, [0, 1, 2]), torch.tensor([0, 1, 2]))
    boundary(1, 0.1, result(4.0, [0]), torch.tensor([1]))
    boundary.flush()
    assert boundary.epoch_samples == 4
    assert boundary.epoch_correct == 3
    assert boundary.epoch_loss_sum == 7.0


def test_steps_are_handed_on_in_groups():
    events = []
    boundary = StepBoundary(events.append, CPU)
    boundary._next_emit = 3600.0
    count = 2 * HELD_STEPS["cpu"] + 3
    for step in range(count):
        boundary(1, 0.1, result(1.0, [0, 1]), torch.tensor([0, step % 2]))
    assert events == []
    boundary._next_emit = 0.0
    boundary(1, 0.1, result(1.0, [0]), torch.tensor([0]))
    assert len(events) == 1
    assert [record.step for record in records_of(events)] == list(range(1, count + 2))
    assert [record.correct for record in records_of(events)] == [1 + step % 2 for step in range(count)] + [1]


def test_a_step_without_update_is_counted_and_hands_on_those_before():
    events = []
    boundary = StepBoundary(events.append, CPU)
    boundary(3, 0.5, result(1.0, [0]), torch.tensor([0]))
    boundary.skip()
    assert (boundary.step, boundary.epoch_samples) == (2, 1)
    assert [record.step for record in records_of(events)] == [1]


def test_flushing_nothing_says_nothing():
    events = []
    StepBoundary(events.append, CPU).flush()
    assert events == []
