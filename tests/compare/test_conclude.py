"""From what the steps showed to the verdict."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from trainloop.compare import compare
from trainloop.compare.conclude import accuracy_clause


def test_every_bit_is_counted(training_step, batches):
    verdict = compare(training_step(), training_step(), batches, stages=("step",), cases=False)
    assert (verdict.verdict, verdict.reason) == ("equal", "every bit of 12 tensors agrees, over 3 steps")


def test_one_step_and_one_case_are_in_the_singular(training_step, batches):
    verdict = compare(training_step(), training_step(), batches, steps=1, stages=("step",))
    assert verdict.reason.endswith(" tensors agrees, over 1 step and 1 discriminating case")


def test_nothing_to_compare_is_not_equal(training_step, batches):
    verdict = compare(training_step(), training_step(), batches, stages=(), cases=False)
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "no stage had a tensor to compare")


def test_a_difference_is_its_first_place(training_step, batches):
    verdict = compare(training_step(), training_step(weight_decay=0.1), batches, cases=False)
    assert verdict.verdict == "different"
    assert verdict.reason.startswith("step 1 · optimizer step · 0.weight[")
    assert not verdict.passed


def test_rounding_is_counted(training_step, batches):
    class Reordered(torch.optim.SGD):
        """Subtracts in three parts."""

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for param in group["params"]:
                    for _ in range(3):
                        param.sub_(param.grad * group["lr"] / 3)

    verdict = compare(training_step(), training_step(Reordered), batches, steps=1, stages=("step",), cases=False)
    assert verdict.verdict == "equal_up_to_rounding", verdict.reason
    assert " of 4 tensors differ over 1 step, none by more than rounding explains" in verdict.reason


def test_a_side_that_fails_leaves_it_open(training_step, batches):
    def loss(_output, _labels):
        raise ValueError("no such loss")

    verdict = compare(training_step(), training_step(step={"loss": loss}), batches, cases=False)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "step 1 · loss · candidate: ValueError: no such loss"


def test_a_nan_leaves_it_open(training_step):
    x = torch.full((4, 6), math.nan)
    verdict = compare(training_step(), training_step(), [(x, torch.zeros(4, dtype=torch.int64))], cases=False)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.startswith("no number to compare: step 1 · forward · ")
    assert "NaN" in verdict.reason


def test_a_gradient_that_begins_with_another_loss_follows_from_it(training_step, batches):
    def loss(output, labels):
        return 2 * torch.nn.functional.cross_entropy(output, labels)

    verdict = compare(training_step(), training_step(step={"loss": loss}), batches, cases=False)
    inherits = {report.stage: report.inherits for report in verdict.stages}
    assert (verdict.first.stage, inherits["backward"], inherits["step"]) == ("loss", "loss", "")


@pytest.mark.parametrize(
    ("reference", "candidate", "text"),
    [
        (1e-8, 1.5e-8, ""),
        (1e-8, 3e-8, "; in stage optimizer step the candidate is 3 times less accurate (block1.1.bias)"),
        (5e-8, 1e-8, "; in stage optimizer step the reference is 5 times less accurate (block1.1.bias)"),
        (None, 1e-8, ""),
    ],
)
def test_the_less_accurate_side_is_named(rounding_stage, reference, candidate, text):
    stage = dataclasses.replace(rounding_stage, reference_error=reference, candidate_error=candidate)
    assert accuracy_clause([stage]) == text


def test_the_free_run_and_the_weights_are_reported(training_step, batches):
    verdict = compare(training_step(), training_step(), batches, cases=False)
    assert len(verdict.free_run.reference_losses) == 3
    assert verdict.free_run.weight_distances == (0.0, 0.0, 0.0)
    assert len(verdict.weights_sha256) == 64
