"""Hyper-parameters out of range: refused where torch refuses them, taken where torch takes them, named with their value."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS, SGD, Adam
from trainloop.manual.optim.checks import SWITCHES

NUMBERS = (-1.0, 0.0, 0.5, 1.0, 2.0, 50.0)
NOT_RANGES = {"params", "maximize", *SWITCHES}


def values_to_try(default):
    if isinstance(default, bool):
        return (True,)
    if isinstance(default, tuple):
        middle = tuple(0.5 if entry is None else entry for entry in default)
        return [(*middle[:i], number, *middle[i + 1 :]) for i in range(len(middle)) for number in NUMBERS]
    return NUMBERS if isinstance(default, (int, float)) else ()


ARGUMENTS = [
    (name, argument, value)
    for name, ours in OPTIMIZERS.items()
    for argument, parameter in inspect.signature(ours).parameters.items()
    if argument not in NOT_RANGES
    for value in values_to_try(parameter.default)
]

SINCE_2_15 = {("asgd", "lambd"), ("asgd", "alpha")}
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def weight():
    return torch.nn.Parameter(torch.zeros(3, 3))


def refusal(make, **settings):
    try:
        make([weight()], **settings)
    except ValueError as error:
        return str(error)
    return None


def test_the_table_holds_values_that_torch_refuses_and_values_that_it_takes():
    refused = [refusal(getattr(torch.optim, OPTIMIZERS[n].__name__), **{a: v}) is not None for n, a, v in ARGUMENTS]
    assert refused.count(True) > 50
    assert refused.count(False) > 50


@pytest.mark.parametrize(("name", "argument", "value"), ARGUMENTS)
def test_refused_where_torch_refuses_it(name, argument, value):
    if (name, argument) in SINCE_2_15 and TORCH < (2, 15):
        pytest.skip("torch before 2.15 does not look at lambd and alpha of ASGD")
    theirs = refusal(getattr(torch.optim, OPTIMIZERS[name].__name__), **{argument: value})
    ours = refusal(OPTIMIZERS[name], **{argument: value})
    assert (ours is None) == (theirs is None), f"ours: {ours}, torch's: {theirs}"
    if ours is not None:
        numbers = value if isinstance(value, tuple) else (value,)
        assert argument in ours
        assert "found" in ours
        assert value is True or any(str(number) in ours for number in numbers)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_arguments_are_torchs(name):
    def described(optimizer):
        parameters = inspect.signature(optimizer).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert described(OPTIMIZERS[name]) == described(getattr(torch.optim, OPTIMIZERS[name].__name__))


@pytest.mark.parametrize(("name", "switch"), list(itertools.product(OPTIMIZERS, SWITCHES)))
def test_a_switch_of_torchs_implementations_is_refused(name, switch):
    if switch not in inspect.signature(OPTIMIZERS[name]).parameters:
        with pytest.raises(TypeError, match=switch):
            OPTIMIZERS[name]([weight()], **{switch: True})
    else:
        with pytest.raises(ValueError, match=f"{switch} must be None or False, found True: {SWITCHES[switch]}"):
            OPTIMIZERS[name]([weight()], **{switch: True})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_tensor_as_lr_is_refused(name):
    with pytest.raises(
        TypeError, match=r"lr must be a Python number, found 0.5: .* captured graph gets them as tensors"
    ):
        OPTIMIZERS[name]([weight()], lr=torch.tensor(0.5))


def test_tensors_as_betas_are_refused():
    with pytest.raises(TypeError, match=r"betas\[0\] must be a Python number, found 0.5"):
        Adam([weight()], betas=(torch.tensor(0.5), torch.tensor(0.9)))


def test_whole_numbers_as_betas_of_adam_are_refused_as_by_torch():
    with pytest.raises(ValueError, match="both floats"):
        torch.optim.Adam([weight()], betas=(0, 0.9))
    with pytest.raises(ValueError, match=r"betas must be two floats, found \(0, 0.9\)"):
        Adam([weight()], betas=(0, 0.9))


def test_nan_is_in_no_range():
    with pytest.raises(ValueError, match="lr must be >= 0, found nan"):
        SGD([weight()], lr=float("nan"))


@pytest.mark.parametrize(
    ("settings", "found"), [({}, "0 and 0"), ({"momentum": 0.9, "dampening": 0.5}, r"0\.9 and 0\.5")], ids=str
)
def test_nesterov_needs_momentum_and_no_dampening(settings, found):
    with pytest.raises(ValueError, match=f"nesterov needs momentum > 0 and dampening 0, found {found}"):
        SGD([weight()], nesterov=True, **settings)
