"""Steps made to tell variants apart."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.cases import (
    BATCH_CASES,
    LR_FACTORS,
    NUM_OPTIMIZER_STEPS,
    MatrixBag,
    ParameterBag,
    batch_cases,
    case_gradients,
    observe_updates,
    optimizer_sides,
)
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.data.pipeline import Batch

MODEL = nn.Linear(2, 2)


def sides(one=torch.optim.AdamW, two=torch.optim.AdamW, **settings):
    steps = [TrainingStep(MODEL, partial(optimizer, **settings)) for optimizer in (one, two)]
    return optimizer_sides(steps[0].implementation(REFERENCE), steps[1].implementation(CANDIDATE), 0.1)


def params():
    return dict(ParameterBag().named_parameters())


def test_the_parameters_are_the_same_every_time():
    one, two = params(), params()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_there_is_a_parameter_of_every_awkward_kind():
    found = params()
    assert found["plain.number"].dim() == 0
    assert not found["plain.transposed"].is_contiguous()
    assert found["plain.kernel"].dim() == 4


def test_the_gradients_are_the_same_every_time():
    one, two = case_gradients(params(), 1), case_gradients(params(), 1)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_gradients_change_from_step_to_step():
    assert not torch.equal(case_gradients(params(), 1)["plain.matrix"], case_gradients(params(), 2)["plain.matrix"])


def test_one_gradient_is_none_at_the_second_step_alone():
    missing = [case_gradients(params(), step)["plain.missing_at_times"] is None for step in (1, 2, 3, 4)]
    assert missing == [False, True, False, False]


@pytest.mark.parametrize("bag", [ParameterBag, MatrixBag])
def test_the_gradient_that_is_missing_is_not_the_last(bag):
    assert not list(bag().plain._parameters)[-1].startswith("missing")


def test_one_gradient_is_zero_and_one_is_as_small_as_eps():
    grads = case_gradients(params(), 1)
    assert not grads["plain.zero_gradient"].any()
    assert 1e-8 < grads["plain.tiny_gradient"].abs().max() < 1e-6


def test_the_groups_differ_in_lr_and_decay():
    first, second = sides(lr=0.1).reference.optimizers[0].param_groups
    assert second["lr"] == 0.5 * first["lr"]
    assert (first["weight_decay"], second["weight_decay"]) == (0.01, 0.0)


def test_a_decay_is_added_where_the_optimizer_knows_one_and_has_none():
    first, second = sides(torch.optim.SGD, torch.optim.SGD, lr=0.1).reference.optimizers[0].param_groups
    assert (first["weight_decay"], second["weight_decay"]) == (0.03, 0.0)


class NoDecay(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})


def test_no_decay_is_added_where_one_side_knows_none():
    first, _ = sides(torch.optim.SGD, NoDecay, lr=0.1).reference.optimizers[0].param_groups
    assert first["weight_decay"] == 0


class MatricesAlone(torch.optim.SGD):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        if any(param.dim() != 2 for group in self.param_groups for param in group["params"]):
            raise ValueError("matrices alone")


def test_an_optimizer_of_matrices_gets_matrices():
    found = sides(MatricesAlone, MatricesAlone, lr=0.1)
    assert set(found.reference.params()) == set(dict(MatrixBag().named_parameters()))


class NeedsAModel(torch.optim.SGD):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        raise KeyError("my layer")


def test_an_optimizer_that_takes_no_bag_has_no_cases():
    assert sides(torch.optim.SGD, NeedsAModel, lr=0.1) is None


def test_there_are_four_steps_with_an_lr_of_their_own():
    records = list(observe_updates(sides(lr=0.1)))
    assert [record.step for record in records] == list(range(1, NUM_OPTIMIZER_STEPS + 1))
    assert [record.lr for record in records] == [0.1 * factor for factor in LR_FACTORS]


def test_only_sync_and_step_are_compared():
    assert next(observe_updates(sides(lr=0.1))).stages == ("sync", "step")


def test_a_record_has_the_gradients_of_its_own_step():
    for record in observe_updates(sides(lr=0.1)):
        wanted = case_gradients(params(), record.step)["plain.matrix"]
        assert torch.equal(record.grads_after("sync")["plain.matrix"], wanted)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randn(4, 3, 6, 6, generator=generator), torch.arange(4), torch.arange(4))


def test_the_blank_batch_is_zero_with_the_labels_of_the_run(images):
    name, blank = next(batch_cases(images))
    assert (name, blank.x.any().item()) == (BATCH_CASES[0], False)
    assert torch.equal(blank.y, images.y)


def test_the_constant_batch_is_one_image_many_times(images):
    _, (name, constant) = batch_cases(images)
    assert name == BATCH_CASES[1]
    assert torch.equal(constant.x, images.x[:1].expand(4, -1, -1, -1))


def test_the_cases_keep_the_memory_format(images):
    last = Batch(images.x.to(memory_format=torch.channels_last), images.y, images.indices)
    assert all(case.x.is_contiguous(memory_format=torch.channels_last) for _, case in batch_cases(last))


def test_the_elements_of_the_cases_have_memory_of_their_own(images):
    assert all(0 not in case.x.stride() for _, case in batch_cases(images))
