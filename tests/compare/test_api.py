"""The comparison from Python."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trainloop.compare
from trainloop.compare import TrainingStep, Verdict, assert_same_step, compare
from trainloop.data.pipeline import Batch
from trainloop.errors import UsageError
from trainloop.manual import RULES
from trainloop.manual.optim import OPTIMIZERS
from trainloop.manual.rule import Form, Rule, by_function

pytestmark = pytest.mark.usefixtures("one_thread")


def different(candidate, reference, batches, **options):
    verdict = compare(reference, candidate, batches, **{"cases": False, **options})
    assert verdict.verdict == "different", verdict.reason
    return verdict.first


# What a step may be made of


def test_a_step_equals_itself(training_step, batches):
    assert compare(training_step(), training_step(), batches).verdict == "equal"


def test_a_tape_equals_autograd(training_step, batches):
    assert compare(training_step(), training_step(step={"tape": True}), batches).verdict == "equal"


def test_an_optimizer_of_this_project_equals_that_of_torch(training_step, batches):
    reference = training_step(torch.optim.AdamW, lr=0.01, foreach=False)
    assert compare(reference, training_step(OPTIMIZERS["adamw"], lr=0.01), batches).verdict == "equal"


def test_a_backward_of_ones_own_is_compared(training_step, batches):
    def shifted(loss):
        loss.backward()
        params[-1].grad += 1

    candidate = training_step(step={"backward": shifted})
    params: list[nn.Parameter] = []
    optimizer = candidate.optimizer

    def remembering(given):
        params[:] = given
        return optimizer(given)

    found = different(
        TrainingStep(candidate.model, remembering, backward=shifted), training_step(), batches, stages=["backward"]
    )
    assert (found.stage, found.tensor) == ("backward", "grad of 2.bias")


def test_a_loss_of_ones_own_is_compared(training_step, batches):
    candidate = training_step(step={"loss": partial(F.cross_entropy, label_smoothing=0.1)})
    assert different(candidate, training_step(), batches).stage == "loss"


def test_clipping_is_compared(training_step, batches):
    candidate = training_step(step={"clip": lambda params: nn.utils.clip_grad_norm_(params, 0.01)})
    assert different(candidate, training_step(), batches).stage == "sync"


def test_a_rule_of_ones_own_is_compared(training_step, batches):
    theirs = next(rule for rule in RULES.values() if rule.name == "tanh")
    form = Form(lambda input: (input.tanh(), (input,)), lambda g, input: g * (1 - input.tanh()))
    own = Rule("tanh", theirs.functions, {"formula": form, "aten": form}, theirs.examples)
    candidate = training_step(step={"tape": True, "rules": {**RULES, **by_function([own])}})
    assert different(candidate, training_step(), batches).stage == "backward"


def test_parts_of_a_batch_are_the_same_up_to_rounding(training_step, batches):
    verdict = compare(training_step(), training_step(step={"parts": 2}), batches, cases=False)
    assert verdict.verdict == "equal_up_to_rounding", verdict.reason


def test_a_batch_may_be_smaller_than_the_others(training_step, batches):
    uneven = [*batches, (batches[0][0][:2], batches[0][1][:2])]
    assert compare(training_step(), training_step(step={"tape": True}), uneven, cases=False).verdict == "equal"


# Models


def test_the_candidate_starts_from_the_weights_of_the_reference(batches):
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)))
    one, two = (TrainingStep(model, partial(torch.optim.SGD, lr=0.1)) for model in models)
    assert compare(one, two, batches).verdict == "equal"


def test_the_given_models_are_left_alone(training_step, batches):
    step = training_step()
    before = [param.clone() for param in step.model.parameters()]
    compare(step, step, batches)
    assert all(torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))
    assert all(param.grad is None for param in step.model.parameters())


def test_models_with_other_names_are_matched_by_shape(training_step, batches):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.second(self.first(x).tanh())

    step = training_step()
    assert compare(step, TrainingStep(Named(), step.optimizer), batches).verdict == "equal"


def test_models_that_cannot_be_matched_are_refused(training_step, batches):
    step = training_step()
    with pytest.raises(UsageError, match="cannot be matched") as caught:
        compare(step, TrainingStep(nn.Linear(6, 3), step.optimizer), batches)
    assert caught.value.faults[0].found == "only the candidate has weight (3, 6)"


# Batches and steps


def test_no_batch_is_refused(training_step):
    with pytest.raises(UsageError, match="there is no batch to compare on"):
        compare(training_step(), training_step(), [])


def test_batches_may_come_without_end(training_step, batches):
    verdict = compare(training_step(), training_step(), itertools.cycle(batches), steps=5, cases=False)
    assert verdict.steps == 5


def test_no_more_batches_are_taken_than_steps_are_made(training_step, batches):
    given = iter(batches)
    compare(training_step(), training_step(), given, steps=2, cases=False)
    assert len(list(given)) == 1


def test_batches_may_be_batch_objects(training_step, batches):
    made = [Batch(x, labels, torch.arange(len(labels))) for x, labels in batches]
    one, two = (compare(training_step(), training_step(), given, cases=False) for given in (batches, made))
    assert one.weights_sha256 == two.weights_sha256


def test_the_lr_of_each_step_is_a_factor_on_that_of_the_optimizer(training_step, batches):
    one = compare(training_step(lr=0.1), training_step(lr=0.1), batches, lr=lambda _: 0.5, cases=False)
    two = compare(training_step(lr=0.05), training_step(lr=0.05), batches, cases=False)
    assert one.weights_sha256 == two.weights_sha256


def test_the_step_is_told_to_the_lr(training_step, batches):
    asked = []
    compare(training_step(), training_step(), batches, lr=lambda step: asked.append(step) or 1.0, cases=False)
    assert sorted(set(asked)) == [0, 1, 2]


# Options and results


def test_only_the_chosen_stages_are_compared(training_step, batches):
    verdict = compare(training_step(), training_step(lr=0.2), batches, stages=["forward", "loss"])
    assert verdict.verdict == "equal"
    assert [report.stage for report in verdict.stages] == ["forward", "loss"]


class StopsAtNone(torch.optim.SGD):
    """Leaves out all parameters behind one without a gradient."""

    def step(self, closure=None):
        for group in self.param_groups:
            missing = [param.grad is None for param in group["params"]]
            for param in group["params"][missing.index(True) if any(missing) else len(missing) :]:
                param.grad = None
        return super().step(closure)


def test_the_cases_find_what_the_batches_do_not(training_step, batches):
    assert compare(training_step(), training_step(StopsAtNone), batches, cases=False).verdict == "equal"
    found = different(training_step(StopsAtNone, momentum=0.9), training_step(momentum=0.9), batches, cases=True)
    assert (found.case, found.step, found.stage) == ("optimizer cases", 2, "step")


def test_without_a_title_the_classes_are_the_title(training_step, batches):
    verdict = compare(training_step(step={"title": "mine"}), training_step(step={"tape": True}), batches)
    assert (verdict.reference, verdict.candidate) == ("mine", "Sequential, SGD, on a tape")


def test_an_optimizer_that_takes_no_single_parameter_is_an_optimizer_all_the_same(training_step, batches):
    def whole(params):
        assert len(params) == 4, "a model of four"
        return torch.optim.SGD(params, lr=0.1)

    verdict = compare(training_step(), TrainingStep(training_step().model, whole), batches)
    assert (verdict.verdict, verdict.candidate) == ("equal", "Sequential, an optimizer")
    assert verdict.remarks[0].startswith("the optimizer cases were left out")


def test_times_are_measured_on_demand_alone(training_step, batches):
    assert compare(training_step(), training_step(), batches, cases=False).timing is None
    timed = compare(training_step(), training_step(), batches, cases=False, timing_budget_s=0.01)
    assert timed.timing.rounds > 0


def test_what_is_different_is_not_timed(training_step, batches):
    assert compare(training_step(), training_step(lr=0.2), batches, cases=False, timing_budget_s=0.01).timing is None


# The assertion


def test_the_assertion_returns_the_verdict(training_step, batches):
    assert isinstance(assert_same_step(training_step(), training_step(), batches), Verdict)


def test_the_assertion_fails_with_the_whole_report(training_step, batches):
    with pytest.raises(AssertionError) as caught:
        assert_same_step(training_step(), training_step(lr=0.2), batches, cases=False)
    text = str(caught.value)
    assert "DIFFERENT" in text
    assert "optimizer step" in text
    assert text.startswith("\n")


def test_the_assertion_fails_for_what_is_inconclusive(training_step, batches):
    with pytest.raises(AssertionError, match="INCONCLUSIVE"):
        assert_same_step(training_step(), training_step(step={"loss": lambda *_: None}), batches, cases=False)


def test_every_public_name_is_there():
    assert all(hasattr(trainloop.compare, name) for name in trainloop.compare.__all__)


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'equal'"):
        _ = trainloop.compare.equal
