"""Every registered optimizer against torch.optim's of the same name: same bits, each step, each parameter and state tensor."""

from __future__ import annotations

import functools

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS

STEPS = 100
DTYPES = (torch.float32, torch.float64)
COMPARABLE = [name for name, ours in OPTIMIZERS.items() if ours.deviation_reason is None]
ODD_VALUES = (float("nan"), float("inf"), -float("inf"), 1e38, 1e-42)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_over_100_steps(optim, crossed_case, dtype):
    name, settings = crossed_case
    ours, theirs = optim.make_pair(OPTIMIZERS[name], name, settings, dtype)
    optim.step_pair(ours, theirs, range(STEPS), functools.partial(optim.make_grads, dtype=dtype))


def test_a_combination_that_torch_refuses_is_refused(optim, refused_case):
    name, settings = refused_case
    with pytest.raises(ValueError, match="found"):
        OPTIMIZERS[name](optim.make_params(torch.float32), **settings)


@pytest.mark.parametrize("name", COMPARABLE)
def test_same_defaults_and_groups(optim, name):
    ours = OPTIMIZERS[name](optim.make_params(torch.float32))
    theirs = optim.torch_twin(name)(optim.make_params(torch.float32))
    assert {**ours.defaults, "foreach": False} == theirs.defaults
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])


@pytest.mark.parametrize("value", ODD_VALUES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", COMPARABLE)
def test_same_bits_after_an_odd_gradient(optim, name, dtype, value):
    def grads_of(step):
        grads = [None if grad is None else grad.clone() for grad in optim.make_grads(step, dtype)]
        if step == 2:
            grads[0][1, 2, 0, 1] = value
            grads[2].fill_(value)
        return grads

    ours, theirs = optim.make_pair(OPTIMIZERS[name], name, {}, dtype)
    optim.step_pair(ours, theirs, range(5), grads_of)


@pytest.mark.parametrize("name", COMPARABLE)
def test_a_changed_lr_is_noticed(optim, name):
    ours, theirs = optim.make_pair(OPTIMIZERS[name], name, {}, torch.float64)
    # More than the spacing of float32, in which ASGD keeps its step size.
    optim.scale_lr(theirs, 1 + 1e-6)
    with pytest.raises(AssertionError, match="step 0, parameter 0"):
        optim.step_pair(ours, theirs, range(1), functools.partial(optim.make_grads, dtype=torch.float64))


def test_an_optimizer_with_other_bits_says_why():
    reasons = [OPTIMIZERS[name].deviation_reason for name in set(OPTIMIZERS) - set(COMPARABLE)]
    assert all(len(reason.split()) > 3 for reason in reasons)
