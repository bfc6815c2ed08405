"""Whole comparisons: what is observed keeps its bits, and whatever a candidate does wrong has one clear message."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop import train
from trainloop.compare.api import TrainingStep, _as_batches, compare
from trainloop.compare.implementation import CANDIDATE, REFERENCE
from trainloop.compare.pipeline import Extras, compare_sides
from trainloop.compare.run import Comparison, Settings
from trainloop.compare.settings import describe_sides
from trainloop.config import load_config
from trainloop.errors import UsageError
from trainloop.loop.step import train_step
from trainloop.report.weights import weights_sha256

pytestmark = pytest.mark.usefixtures("one_thread")

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, foreach=False)


class Net(nn.Module):
    def __init__(self, p=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(p)
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).relu()).flatten(1))


def images(steps=3, size=4):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 3, 6, 6, generator=generator), torch.arange(size) % 5) for _ in range(steps)]


def step(**changes):
    return TrainingStep(**{"model": Net(), "optimizer": SGD, **changes})


def compared(candidate, reference=None, batches=None, **options):
    return compare(reference or step(), candidate, batches or images(), **{"cases": False, **options})


def tensors(verdict):
    return {report.stage: report.tensors for report in verdict.stages}


# Observation changes nothing


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tape": True},
        {"model": Net(p=0.5)},
        {"parts": 3},
        {"clip": lambda params: nn.utils.clip_grad_norm_(params, 0.1)},
        {"model": Net().to(memory_format=torch.channels_last)},
        {"optimizer": partial(torch.optim.AdamW, lr=0.01)},
    ],
    ids=["autograd", "tape", "dropout", "parts", "clipping", "channels last", "adamw"],
)
def test_the_reference_ends_at_the_bits_of_an_unobserved_run(changes):
    reference, candidate = step(**changes), step(**{**changes, "tape": True})
    torch.manual_seed(3)
    verdict = compare(reference, candidate, images())
    torch.manual_seed(3)
    alone = reference.implementation(REFERENCE).side()
    for batch in _as_batches(images()):
        train_step(alone.stages, batch, reference.parts, 1.0)
    assert verdict.weights_sha256 == weights_sha256(alone.model)


def test_a_candidate_that_differs_does_not_reach_the_reference():
    reference = step()
    verdict = compared(step(optimizer=partial(SGD, lr=0.2)), reference)
    same = compared(reference, reference)
    assert (verdict.verdict, same.verdict) == ("different", "equal")
    assert verdict.weights_sha256 == same.weights_sha256


@pytest.mark.parametrize(
    ("mode", "extra"), [("builtin", []), ("manual", ["train.accumulation_steps=2", "train.clip_grad_norm=0.5"])]
)
def test_the_reference_of_a_config_ends_at_the_weights_of_its_own_run(mode, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = ["train.max_steps=3", "train.batch_size=8", "device=cpu", "data.image_size=8", *extra]
    sides = describe_sides(QUICKSTART, overrides, reference=f"mode={mode}", candidate="mode=manual")
    verdict = compare_sides(sides, Settings(3), Extras(0))
    config = load_config(QUICKSTART, [*overrides, f"mode={mode}"]).config
    assert verdict.weights_sha256 == train(config).weights_sha256
    assert verdict.passed, verdict.reason


# Bad candidates: one message with side, stage and step; what was found so far stays


class RaisesAtTheSecond(torch.optim.SGD):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        self.t = 0

    def step(self, closure=None):
        self.t += 1
        if self.t == 2:
            raise ValueError("enough\nof this")
        return super().step(closure)


def test_a_candidate_that_raises_is_named_with_its_stage_and_step():
    verdict = compared(step(optimizer=partial(RaisesAtTheSecond, lr=0.1, momentum=0.9)))
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "step 2 · optimizer step · candidate: ValueError: enough"


def test_what_was_compared_before_a_candidate_raised_is_kept():
    verdict = compared(step(optimizer=partial(RaisesAtTheSecond, lr=0.1, momentum=0.9)))
    assert verdict.steps == 1
    assert tensors(verdict) == {"zero_grad": 12, "forward": 16, "loss": 2, "backward": 12, "sync": 12, "step": 12}


def test_a_candidate_that_raises_in_a_case_is_named_with_the_case():
    verdict = compared(step(optimizer=partial(RaisesAtTheSecond, lr=0.1, momentum=0.9)), cases=True)
    assert verdict.reason == "step 2 · optimizer step · candidate: ValueError: enough (optimizer cases)"


def test_a_reference_that_raises_is_named_too():
    verdict = compared(step(), step(loss=lambda *_: None))
    assert verdict.reason == "step 1 · loss · reference: it returned None instead of a tensor"


class FaultyThenRaises(RaisesAtTheSecond):
    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(1.0)


def test_a_difference_before_the_failure_decides():
    verdict = compared(step(optimizer=partial(FaultyThenRaises, lr=0.1, momentum=0.9)))
    assert (verdict.verdict, verdict.first.tensor, verdict.first.step) == ("different", "conv.weight", 1)
    assert "the comparison ended early: step 2 · optimizer step · candidate: ValueError: enough" in verdict.remarks


class Wrapped(Net):
    """A network whose forward is given."""

    def __init__(self, around):
        super().__init__()
        self.around = around

    def forward(self, x):
        return self.around(super().forward, x)


def nothing(*_):
    return None


def in_a_tuple(forward, x):
    return (forward(x),)


def for_ever(*_):
    while True:
        math.sqrt(2)


@pytest.mark.parametrize(
    ("around", "what"),
    [
        (nothing, "it returned None instead of a tensor"),
        (in_a_tuple, "it returned a tuple instead of a tensor"),
        (for_ever, "no answer after 0.2 s (--timeout sets the limit)"),
    ],
)
def test_a_bad_forward_is_told(around, what):
    verdict = compared(step(model=Wrapped(around)), timeout_s=0.2)
    assert verdict.reason == f"step 1 · forward · candidate: {what}"
    assert tensors(verdict) == {"zero_grad": 6, "forward": 0, "loss": 0, "backward": 0, "sync": 0, "step": 0}


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        (nothing, "it returned None instead of a tensor"),
        (partial(F.cross_entropy, reduction="none"), "it returned a tensor of shape (4,) instead of one number"),
    ],
)
def test_a_bad_loss_is_told_and_the_forward_stays_compared(loss, what):
    verdict = compared(step(loss=loss))
    assert verdict.reason == f"step 1 · loss · candidate: {what}"
    assert (tensors(verdict)["forward"], tensors(verdict)["loss"]) == (5, 0)


def doubled_in_place(forward, x):
    with torch.no_grad():
        x.mul_(2)
    return forward(x)


def test_a_forward_that_changes_its_images_is_told():
    verdict = compared(step(model=Wrapped(doubled_in_place)))
    assert "forward: the candidate did more than its task: it changed the images or the labels" in verdict.remarks
    assert verdict.first.stage == "forward"


class Draws(torch.optim.SGD):
    def step(self, closure=None):
        torch.rand(1)
        return super().step(closure)


def test_a_candidate_that_draws_random_numbers_is_told_and_disturbs_nobody():
    model = Net(p=0.5)
    verdict = compared(step(model=model, optimizer=partial(Draws, lr=0.1, momentum=0.9)), step(model=model))
    assert verdict.verdict == "equal"
    assert verdict.remarks == (
        "optimizer step: the candidate did more than its task: it drew other random numbers than the reference",
    )


def nan(forward, x):
    return forward(x) * math.nan


def test_a_nan_on_the_candidate_alone_is_a_difference():
    verdict = compared(step(model=Wrapped(nan)))
    assert (verdict.verdict, verdict.first.stage, verdict.first.tensor) == ("different", "forward", "logits")
    assert verdict.first.problem.startswith("nan on the candidate, ")


def test_a_nan_on_both_sides_is_inconclusive():
    verdict = compared(step(model=Wrapped(nan)), step(model=Wrapped(nan)))
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "no number to compare: step 1 · forward · logits: NaN on the reference"
    assert verdict.remarks == ()


def refuses(_):
    raise RuntimeError("not today")


@pytest.mark.parametrize("name", [REFERENCE, CANDIDATE])
def test_a_side_that_cannot_be_built_is_named(name):
    sides = {REFERENCE: step(), CANDIDATE: step(), name: step(optimizer=refuses, title="mine")}
    with pytest.raises(UsageError, match=f"the {name} cannot be built") as caught:
        compare(sides[REFERENCE], sides[CANDIDATE], images())
    assert (caught.value.faults[0].where, caught.value.faults[0].found) == ("mine", "RuntimeError: not today")


# Models and optimizers of every kind


class Replaces(torch.optim.Optimizer):
    """Puts another tensor into ``param.data``, as the readable optimizers of this project do."""

    def __init__(self, params, lr, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    grad = param.grad.add(param, alpha=group["weight_decay"])
                    param.data = torch.add(param.data, grad, alpha=-group["lr"])


def test_an_optimizer_may_replace_the_data_of_a_parameter():
    plain = partial(torch.optim.SGD, lr=0.1, foreach=False)
    assert compared(step(optimizer=partial(Replaces, lr=0.1)), step(optimizer=plain), cases=True).verdict == "equal"


class Numbers(torch.optim.Optimizer):
    """Adam with a count that is a Python number."""

    def __init__(self, params, lr, betas=(0.9, 0.999), late=0):
        super().__init__(params, {"lr": lr, "betas": betas})
        self.late = late

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state |= {"step": self.late, "exp_avg": torch.zeros_like(param)}
                    state["exp_avg_sq"] = torch.zeros_like(param)
                state["step"] += 1
                state["exp_avg"].lerp_(param.grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(param.grad, param.grad, value=1 - beta2)
                root = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt() + 1e-8
                param.sub_(lr * (state["exp_avg"] / (1 - beta1 ** state["step"])) / root)


ADAM = partial(torch.optim.Adam, lr=0.01, foreach=False)


def test_a_count_that_is_a_python_number_is_compared_with_one_that_is_a_tensor():
    verdict = compared(step(optimizer=partial(Numbers, lr=0.01)), step(optimizer=ADAM), cases=True)
    assert verdict.verdict == "equal_up_to_rounding", verdict.reason


def test_a_count_that_is_a_python_number_and_wrong_is_found():
    verdict = compared(step(optimizer=partial(Numbers, lr=0.01, late=1)), step(optimizer=ADAM))
    assert (verdict.verdict, verdict.first.stage) == ("different", "step")


class Odd(nn.Module):
    """Tied, frozen, unused and 0-d parameters; buffers of integers and flags, one that is not saved."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(108, 108), nn.Linear(108, 108)
        self.second.weight = self.first.weight
        self.head, self.unused = nn.Linear(108, 5), nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.first.bias.requires_grad_(False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("flags", torch.zeros(3, dtype=torch.bool))
        self.register_buffer("passing", torch.zeros(2), persistent=False)

    def forward(self, x):
        self.count += 1
        self.flags[0] = True
        self.passing += x.detach().mean()
        return self.head(self.second(self.first(x.flatten(1))).relu()) * self.scale


def test_a_model_of_odd_parameters_and_buffers_is_equal_to_itself():
    assert compared(step(model=Odd(), tape=True), step(model=Odd()), cases=True).verdict == "equal"


class Miscounts(Odd):
    def forward(self, x):
        self.count += 1
        return super().forward(x)


def test_a_buffer_of_integers_is_compared():
    verdict = compared(step(model=Miscounts()), step(model=Odd()))
    assert (verdict.first.stage, verdict.first.tensor, verdict.first.abs_err) == ("forward", "count", 1.0)


class ZerosForNone(torch.optim.SGD):
    def zero_grad(self, set_to_none=True):  # noqa: ARG002 - as torch's
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = torch.zeros_like(param)


def test_zeros_instead_of_none_count_for_a_parameter_that_is_not_used():
    verdict = compared(step(model=Odd(), optimizer=partial(ZerosForNone, lr=0.1, momentum=0.9)), step(model=Odd()))
    assert verdict.first.stage == "zero_grad"
    assert verdict.first.tensor.startswith("grad of unused.")


class Branches(Odd):
    """Calls its modules in an order, and as often, as the data say."""

    def forward(self, x):
        x = x.flatten(1)
        x = self.first(self.second(x)) if x.sum() > 0 else self.second(self.first(x))
        return self.head(self.first(x) if x[0, 0] > 0 else x)


def test_the_order_of_the_modules_may_depend_on_the_data():
    assert compared(step(model=Branches(), tape=True), step(model=Branches()), cases=True).verdict == "equal"


# What is done, and in which order


def comparison(candidate, **settings):
    settings = dataclasses.replace(Settings(), cases=False, **settings)
    found = Comparison(step().implementation(REFERENCE), candidate.implementation(CANDIDATE), settings)
    found.run(_as_batches(images()), lambda _: 1.0)
    return found


def test_only_the_chosen_stages_are_compared():
    found = comparison(step(), stages=("loss", "step"))
    assert {stage: tally.tensors > 0 for stage, tally in found.tally.of.items()} == {"loss": True, "step": True}


def test_it_stops_after_the_steps_that_were_asked_for():
    assert comparison(step(), steps=2).steps == 2


def test_the_first_step_that_differs_is_kept_whole():
    kept = comparison(step(optimizer=partial(SGD, lr=0.2))).differing[0]
    assert (kept.record.step, kept.judged.stage) == (1, "step")
    assert torch.equal(kept.record.batch.x, images()[0][0])


def test_exact_gathers_no_evidence():
    kept = comparison(step(optimizer=partial(SGD, lr=0.2)), exact=True).differing[0]
    assert kept.evidence is None


def test_where_every_bit_counts_rounding_is_a_difference():
    candidate = step(
        loss=lambda logits, labels: F.nll_loss(logits.exp().div(logits.exp().sum(1, keepdim=True)).log(), labels)
    )
    assert comparison(candidate).tally.first is None
    assert comparison(candidate, exact=True).tally.first.stage == "loss"


def test_the_cases_leave_the_random_streams_alone():
    sides, found = [step(model=Net(p=0.5)) for _ in range(2)], []
    for cases in (True, False):
        torch.manual_seed(5)
        found.append(compare(*sides, images(), cases=cases).weights_sha256)
    assert found[0] == found[1]


def test_gradients_that_share_memory_are_different_though_their_numbers_agree():
    class Twins(nn.Module):
        """Two parameters whose gradients are the same numbers."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(108, 5)
            self.one, self.two = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(5))

        def forward(self, x):
            return self.head(x.flatten(1)) + self.one + self.two

    def sharing(model):
        def backward(loss):
            loss.backward()
            model.two.grad = model.one.grad

        return backward

    right = step(model=Twins()).implementation(CANDIDATE)

    def build(model, exact):
        stages, optimizers = right.build(model, exact)
        return dataclasses.replace(stages, backward=sharing(model)), optimizers

    verdict = compared(dataclasses.replace(right, build=build), step(model=right.model))
    assert verdict.verdict == "different"
    assert (verdict.first.stage, verdict.first.tensor) == ("backward", "grad of two")
    assert verdict.first.problem == "shares its memory with grad of one"
    assert verdict.cause.name == "aliased gradient (memory shared with that of another parameter)"


def test_an_oracle_is_made_until_a_stage_is_known_to_be_different(monkeypatch):
    from trainloop.compare import run

    asked = []

    def counting(record, *args):
        asked.append(record.step)
        return gather(record, *args)

    gather = run.gather
    monkeypatch.setattr(run, "gather", counting)
    verdict = compared(step(optimizer=partial(SGD, lr=0.2)), batches=images(6))
    assert verdict.verdict == "different"
    assert asked == [1]
    assert {report.stage: report.verdict for report in verdict.stages}["step"] == "different"
