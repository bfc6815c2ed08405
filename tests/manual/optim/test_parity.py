"""Every registered optimizer against torch.optim's of the same name: same bits, each step, each parameter and state tensor.

The cases are every combination of an optimizer's own ``options``, so registering one enrols it here.
"""

from __future__ import annotations

import functools
import itertools

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS

STEPS = 100
DTYPES = (torch.float32, torch.float64)


def torch_twin(name):
    return functools.partial(getattr(torch.optim, OPTIMIZERS[name].__name__), foreach=False)


def accepted_by_torch(name, settings):
    try:
        torch_twin(name)([torch.nn.Parameter(torch.zeros(3, 3))], **settings)
    except ValueError:
        return False
    return True


def crossed(options):
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


ALL = [
    (name, settings)
    for name, ours in OPTIMIZERS.items()
    if ours.deviation_reason is None
    for settings in crossed(ours.options)
]
CASES = [case for case in ALL if accepted_by_torch(*case)]
REFUSED = [case for case in ALL if case not in CASES]
NAMES = sorted({name for name, _ in CASES})


def make_both(optim, name, settings, dtype):
    our_params, their_params = optim.make_params(dtype), optim.make_params(dtype)
    ours = OPTIMIZERS[name](optim.as_groups(our_params), lr=0.01, **settings)
    return ours, torch_twin(name)(optim.as_groups(their_params), lr=0.01, **settings)


def step_both(optim, ours, theirs, steps, make_grads):
    for step in steps:
        grads = make_grads(step)
        for optimizer in (ours, theirs):
            optim.set_grads(optim.all_params(optimizer), grads)
            if step == 50:
                optim.set_lr(optimizer, 0.1)
            optimizer.step()
        optim.assert_same_bits(ours, theirs, f"step {step}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_same_bits_over_100_steps(optim, name, settings, dtype):
    ours, theirs = make_both(optim, name, settings, dtype)
    step_both(optim, ours, theirs, range(STEPS), functools.partial(optim.make_grads, dtype=dtype))


@pytest.mark.parametrize(("name", "settings"), REFUSED, ids=str)
def test_a_combination_that_torch_refuses_is_refused(optim, name, settings):
    with pytest.raises(ValueError, match="found"):
        OPTIMIZERS[name](optim.make_params(torch.float32), **settings)


@pytest.mark.parametrize("name", NAMES)
def test_same_defaults_and_groups(optim, name):
    ours, theirs = (
        OPTIMIZERS[name](optim.make_params(torch.float32)),
        torch_twin(name)(optim.make_params(torch.float32)),
    )
    assert {**ours.defaults, "foreach": False} == theirs.defaults
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, 1e-42], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_after_an_odd_gradient(optim, name, dtype, value):
    def make_grads(step):
        grads = optim.make_grads(step, dtype)
        if step == 2:
            grads[0][1, 2, 0, 1] = value
            grads[2].fill_(value)
        return grads

    ours, theirs = make_both(optim, name, {}, dtype)
    step_both(optim, ours, theirs, range(5), make_grads)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_lr_is_noticed(optim, name):
    ours, theirs = make_both(optim, name, {}, torch.float64)
    # More than the spacing of float32, in which ASGD keeps its step size.
    optim.set_lr(theirs, 1 + 1e-6)
    with pytest.raises(AssertionError, match="step 0, parameter 0"):
        step_both(optim, ours, theirs, range(1), functools.partial(optim.make_grads, dtype=torch.float64))
