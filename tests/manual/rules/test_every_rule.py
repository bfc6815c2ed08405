"""Every rule, every function, every form, every example, by registration alone: against autograd and against differences."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).parent / "rule_cases.py")
rule_cases = importlib.util.module_from_spec(spec)
sys.modules["rule_cases"] = rule_cases
spec.loader.exec_module(rule_cases)

CASES = [(case, form) for case in rule_cases.cases() for form in rule_cases.forms_of(case.rule)]
STEP = 1e-6

# torch says once that "same" padding of an even kernel copies its input; the copy is known, and harmless here.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("case", "form"), CASES, ids=str)
def test_outputs_and_gradients_are_those_of_autograd(case, form, dtype):
    theirs, _ = rule_cases.run(case, dtype)
    ours, _ = rule_cases.run(case, dtype, Tape(form=form))
    rule_cases.assert_same(case, form, ours, theirs, dtype)


def channels_last(tensor):
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def has_images(case):
    """Volumes without a batch have four dimensions too; for these, and for nll_loss, torch's own kernels refuse the layout."""
    tensors = rule_cases.tensors(rule_cases.draw(case.example, torch.float32))
    refused = "3d" in case.rule.name or case.rule.name == "nll_loss"
    return not refused and any(tensor.dim() == 4 for tensor in tensors)


@pytest.mark.parametrize(("case", "form"), [(case, form) for case, form in CASES if has_images(case)], ids=str)
def test_images_with_channels_last_in_memory(case, form):
    theirs, _ = rule_cases.run(case, torch.float32, layout=channels_last)
    ours, _ = rule_cases.run(case, torch.float32, Tape(form=form), layout=channels_last)
    rule_cases.assert_same(case, form, ours, theirs, torch.float32)


@pytest.mark.parametrize(("case", "form"), CASES, ids=str)
def test_the_vjp_agrees_with_a_difference_along_a_random_direction(case, form):
    """⟨gradient, d⟩ = (f(x + εd) − f(x − εd)) / 2ε, in float64: a check that needs no autograd."""
    directions = []

    def along(sign):
        def perturb(leaves):
            for index, leaf in enumerate(leaves):
                direction = rule_cases.weights_for(leaf, 100 + index)
                directions.append(direction)
                leaf.data = leaf.data + sign * STEP * direction

        return perturb

    outcome, _ = rule_cases.run(case, torch.float64, Tape(form=form))
    if any(output.dtype in (torch.float32, torch.float16, torch.bfloat16) for output in outcome.outputs):
        pytest.skip("a cast that rounds more coarsely than the step has no difference to measure")
    _, above = rule_cases.run(case, torch.float64, Tape(form=form), perturb=along(+1))
    directions.clear()
    _, below = rule_cases.run(case, torch.float64, Tape(form=form), perturb=along(-1))
    pairs = zip(outcome.grads, directions, strict=True)
    predicted = sum(float((grad * direction).sum()) for grad, direction in pairs if grad is not None)
    measured = float(above - below) / (2 * STEP)
    assert abs(predicted - measured) <= tolerance("float64", "difference").bound(max(1.0, abs(measured)))
