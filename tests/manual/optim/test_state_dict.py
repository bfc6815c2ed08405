"""A state saved by torch's optimizer and loaded into ours, and the other way round: the same bits from then on."""

from __future__ import annotations

import copy
import functools
import io

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS, SGD, Adam, AdamW, NAdam

DTYPES = (torch.float32, torch.float64)


def through_a_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def copy_params(optim, source, target):
    for one, two in zip(optim.all_params(source), optim.all_params(target), strict=True):
        two.data = one.data.clone()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_loads_the_others_state_and_goes_on(optim, twin_case, dtype):
    name, settings = twin_case
    grads_of = functools.partial(optim.make_grads, dtype=dtype)
    ours, theirs = optim.make_pair(OPTIMIZERS[name], name, settings, dtype)
    optim.step_pair(ours, theirs, range(5), grads_of)
    # Fresh ones with default settings: the saved groups bring the others along.
    new_ours, new_theirs = optim.make_pair(OPTIMIZERS[name], name, {}, dtype)
    copy_params(optim, ours, new_ours)
    copy_params(optim, theirs, new_theirs)
    new_ours.load_state_dict(through_a_file(theirs.state_dict()))
    new_theirs.load_state_dict(through_a_file(ours.state_dict()))
    for group in new_theirs.param_groups:
        group["foreach"] = False
    optim.assert_same_bits(new_ours, new_theirs, "after loading")
    optim.step_pair(new_ours, new_theirs, range(5, 15), grads_of)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_has_the_bits_of_the_uninterrupted_one(optim, name):
    def make():
        params = optim.fitting(name, optim.make_params(torch.float32))
        return OPTIMIZERS[name](params, lr=0.01)

    def run(optimizer, steps):
        for step in steps:
            for param in optim.all_params(optimizer):
                param.grad = torch.full_like(param, 0.1 * step - 0.35)
            optimizer.step()

    whole, first, second = make(), make(), make()
    run(whole, range(10))
    run(first, range(5))
    copy_params(optim, first, second)
    second.load_state_dict(through_a_file(first.state_dict()))
    run(second, range(5, 10))
    optim.assert_same_bits(second, whole, "after resuming")


def test_same_groups_and_numbers_as_torch(optim, twin_case):
    name, settings = twin_case
    ours, theirs = optim.make_pair(OPTIMIZERS[name], name, settings, torch.float32)
    optim.step_pair(ours, theirs, range(1), functools.partial(optim.make_grads, dtype=torch.float32))
    one, two = ours.state_dict(), theirs.state_dict()
    assert list(one) == list(two)
    assert [{**group, "foreach": False} for group in one["param_groups"]] == two["param_groups"]
    assert {number: list(state) for number, state in one["state"].items()} == {
        number: list(state) for number, state in two["state"].items()
    }


def test_names_of_parameters_are_saved(optim):
    params = optim.make_params(torch.float32)
    named = [("one", params[0]), ("two", params[1])]
    assert SGD(named).state_dict()["param_groups"][0]["param_names"] == ["one", "two"]


def test_a_parameter_that_stands_twice_has_torchs_number():
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    with pytest.warns(UserWarning, match="of which 2 differ"):
        ours = SGD([one, one, two])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        theirs = torch.optim.SGD([one, one, two])
    assert ours.state_dict()["param_groups"][0]["params"] == theirs.state_dict()["param_groups"][0]["params"]


def trained(optim, make=Adam, dtype=torch.float32, **settings):
    optimizer = make(optim.make_params(dtype), **settings)
    optim.set_grads(optim.all_params(optimizer), optim.make_grads(0, dtype))
    optimizer.step()
    return optimizer


def test_a_saved_state_does_not_change_with_later_steps(optim):
    optimizer = trained(optim)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved["state"])
    optimizer.step()
    assert all(torch.equal(saved["state"][0][name], before[0][name]) for name in before[0])


def test_loading_copies_so_that_the_source_may_go_on(optim):
    theirs = trained(optim, torch.optim.Adam, foreach=False)
    ours = Adam(optim.make_params(torch.float32))
    ours.load_state_dict(theirs.state_dict())
    before = ours.state[optim.all_params(ours)[0]]["exp_avg"].clone()
    theirs.step()
    assert torch.equal(ours.state[optim.all_params(ours)[0]]["exp_avg"], before)


def test_loading_keeps_our_implementation_whatever_torchs_was(optim):
    theirs = trained(optim, torch.optim.Adam, fused=True)
    ours = Adam(optim.make_params(torch.float32))
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["fused"] is None


def test_a_state_of_adam_decays_as_adamw_once_loaded_there(optim):
    ours = AdamW(optim.make_params(torch.float32))
    ours.load_state_dict(trained(optim, weight_decay=0.3).state_dict())
    assert ours.param_groups[0]["weight_decay"] == 0.3
    assert ours.param_groups[0]["decoupled_weight_decay"] is True


def test_extra_entries_of_a_group_are_loaded_and_present_ones_kept(optim):
    params = optim.make_params(torch.float32)
    saved = SGD([{"params": params, "lr_scale": 8.0}]).state_dict()
    ours = SGD([{"params": optim.make_params(torch.float32), "note": "here"}])
    ours.load_state_dict(saved)
    assert ours.param_groups[0]["lr_scale"] == 8.0
    assert ours.param_groups[0]["note"] == "here"


def test_the_step_keeps_its_dtype_and_all_else_gets_the_parameters(optim):
    ours = NAdam(optim.make_params(torch.float64))
    ours.load_state_dict(trained(optim, NAdam).state_dict())
    state = ours.state[optim.all_params(ours)[0]]
    assert {name: value.dtype for name, value in state.items()} == {
        "step": torch.float32,
        "mu_product": torch.float64,
        "exp_avg": torch.float64,
        "exp_avg_sq": torch.float64,
    }


def test_old_files_have_the_step_as_a_number_and_an_empty_buffer_as_none(optim):
    saved = trained(optim).state_dict()
    for state in saved["state"].values():
        state.update(step=7, nothing=None)
    ours = Adam(optim.make_params(torch.float32))
    ours.load_state_dict(saved)
    state = ours.state[optim.all_params(ours)[0]]
    assert torch.equal(state["step"], torch.tensor(7.0))
    assert "nothing" not in state


@pytest.mark.parametrize(("default", "expected"), [(torch.float32, torch.float32), (torch.float64, torch.float64)])
def test_the_step_is_counted_in_float64_only_where_that_is_the_default(optim, default, expected):
    torch.set_default_dtype(default)
    try:
        optimizer = trained(optim)
    finally:
        torch.set_default_dtype(torch.float32)
    assert optimizer.state[optim.all_params(optimizer)[0]]["step"].dtype == expected


def without_a_group(saved):
    saved["param_groups"] = []


def without_a_param(saved):
    saved["param_groups"][0]["params"] = [0, 1]


def with_another_shape(saved):
    saved["state"][2]["exp_avg"] = torch.zeros(5, 6)


def with_a_stranger(saved):
    saved["state"][9] = saved["state"][0]


def without_a_state(saved):
    del saved["state"]


def with_a_tensor_as_lr(saved):
    saved["param_groups"][0]["lr"] = torch.tensor(0.25)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_state, r"has the entries 'state' and 'param_groups', found \['param_groups'\]"),
        (with_a_tensor_as_lr, "lr must be a Python number, found 0.25"),
        (without_a_group, "has 0 parameter groups, the optimizer has 1"),
        (without_a_param, r"param_groups\[0\] of the state dict has 2 parameters, the optimizer's group has 3"),
        (with_another_shape, r"state\[2\]\['exp_avg'\] has shape \(5, 6\), the parameter needs \(6, 5\)"),
        (with_a_stranger, "a state for parameter 9, which is in none of its groups"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_loaded(optim, damage, message):
    ours = Adam(optim.make_params(torch.float32), lr=0.5)
    saved = trained(optim, lr=0.25).state_dict()
    damage(saved)
    with pytest.raises((ValueError, TypeError), match=message):
        ours.load_state_dict(saved)
    assert ours.state == {}
    assert ours.param_groups[0]["lr"] == 0.5
