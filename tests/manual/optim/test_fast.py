"""The fast forms against the loop, for every optimizer that has them: registering one enrols it.

The foreach form has the loop's bits. So has the compiled one, once the loop's square roots are the nearest floats as its own
are; only the sign of a zero may differ. Against the loop as it is, it is right up to that rounding.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS, SGD, foreach, in_place
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.cpp import EXPRESSIONS
from trainloop.manual.optim.foreach import ForeachForm
from trainloop.tolerance import tolerance

FORMS = {"foreach": ForeachForm, "compiled": CompiledForm}
DTYPES = (torch.float32, torch.float64)
STEPS = 12
SLOW = ("adafactor", "muon")
"""use whole tensors"""
FAST = [name for name in OPTIMIZERS if name not in SLOW]
SGD_SETTINGS = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}


def last_settings(name):
    """The last value of every option: where it is a switch, the switch is on."""
    settings = {option: values[-1] for option, values in OPTIMIZERS[name].options.items()}
    return {**settings, "dampening": 0.0} if name == "sgd" else settings


def make(optim, name, settings, dtype):
    params = optim.make_params(dtype)
    return OPTIMIZERS[name]([{"params": params[:2]}, {"params": params[2:], "lr": 0.003}], lr=0.01, **settings)


def step_both(optim, loop, form, dtype, check, steps=STEPS):
    for step in range(steps):
        for optimizer in (loop, form.optimizer):
            optim.set_grads(optim.all_params(optimizer), optim.make_grads(step, dtype))
            optim.scale_lr(optimizer, 0.9)
        loop.step()
        form.step()
        check(form.optimizer, loop, f"step {step}")


def tensors_of(optim, optimizer):
    for index, param in enumerate(optim.all_params(optimizer)):
        yield f"parameter {index}", param.data
        yield from (
            (f"parameter {index}, {name}", value) for name, value in sorted(optimizer.state.get(param, {}).items())
        )


def paired(optim, ours, theirs):
    pairs = zip(tensors_of(optim, ours), tensors_of(optim, theirs), strict=True)
    for (place, one), (other_place, two) in pairs:
        assert (place, one.dtype, one.shape) == (other_place, two.dtype, two.shape)
        yield place, one, two


@pytest.fixture
def assert_equal(optim):
    """Equal in value, whatever the sign of a zero."""

    def check(ours, theirs, where):
        for place, one, two in paired(optim, ours, theirs):
            assert torch.equal(one, two), f"{where}, {place}: ours {one}, theirs {two}"

    return check


@pytest.fixture
def assert_close(optim):
    def check(ours, theirs, where):
        for place, one, two in paired(optim, ours, theirs):
            bound = tolerance(str(two.dtype).removeprefix("torch."), "state").bound(two.abs().max().item())
            error = (one - two).abs().max().item()
            assert error <= bound, f"{where}, {place}: off by {error}, allowed {bound}"

    return check


@pytest.fixture
def nearest_roots(monkeypatch):
    """Let the loop take square roots that are the nearest floats, as IEEE 754 demands and the compiled form has them."""

    def start():
        monkeypatch.setattr(torch.Tensor, "sqrt", lambda x: torch.from_numpy(np.asarray(np.sqrt(x.numpy()))))

    return start


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_foreach_has_the_bits_of_the_loop(optim, fast_case, dtype):
    name, settings = fast_case
    form = ForeachForm(make(optim, name, settings, dtype))
    step_both(optim, make(optim, name, settings, dtype), form, dtype, optim.assert_same_bits)


@pytest.mark.parametrize("name", FAST)
def test_foreach_has_the_bits_of_the_loop_in_blocks(optim, monkeypatch, name):
    monkeypatch.setattr(foreach, "BLOCK_SIZE", 16)
    monkeypatch.setattr(foreach, "SMALL_SIZE", 2)
    settings = last_settings(name)
    if "betas" in settings:
        settings["betas"] = (0.9, 0.95)  # with 0, the sign of a zero depends on where in a tensor it stands
    form = ForeachForm(make(optim, name, settings, torch.float64))
    step_both(optim, make(optim, name, settings, torch.float64), form, torch.float64, optim.assert_same_bits)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FAST)
def test_compiled_equals_the_loop_with_nearest_roots(optim, assert_equal, nearest_roots, name, dtype):
    form = CompiledForm(make(optim, name, last_settings(name), dtype))
    nearest_roots()
    step_both(optim, make(optim, name, last_settings(name), dtype), form, dtype, assert_equal)


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compiled_equals_the_loop_with_nearest_roots_in_every_setting(
    optim, assert_equal, nearest_roots, fast_case, dtype
):
    name, settings = fast_case
    form = CompiledForm(make(optim, name, settings, dtype))
    nearest_roots()
    step_both(optim, make(optim, name, settings, dtype), form, dtype, assert_equal)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FAST)
def test_compiled_is_near_the_loop_as_it_is(optim, assert_close, name, dtype):
    form = CompiledForm(make(optim, name, last_settings(name), dtype))
    step_both(optim, make(optim, name, last_settings(name), dtype), form, dtype, assert_close)


@pytest.mark.parametrize("name", FAST)
def test_compiled_has_the_bits_of_the_loop_where_there_is_no_root(optim, name):
    settings = {**last_settings(name), **({"betas": (0.9, 0.95)} if "betas" in OPTIMIZERS[name].options else {})}
    form = CompiledForm(make(optim, name, settings, torch.float32))
    if "sqrt" not in form.sources[0]:
        step_both(optim, make(optim, name, settings, torch.float32), form, torch.float32, optim.assert_same_bits)
    assert name not in ("sgd", "adamax", "rprop", "asgd") or "sqrt" not in form.sources[0]


def test_the_comparison_notices_a_wrong_line_of_cpp(optim, assert_equal, nearest_roots, monkeypatch):
    right = EXPRESSIONS[torch.ops.aten.addcdiv.default]
    wrong = {**EXPRESSIONS, torch.ops.aten.addcdiv.default: lambda *args: f"{right(*args)} * T(1.0001)"}
    monkeypatch.setattr("trainloop.manual.optim.cpp.EXPRESSIONS", wrong)
    form = CompiledForm(make(optim, "adam", {}, torch.float32))
    nearest_roots()
    with pytest.raises(AssertionError, match="step 0, parameter 0: ours"):
        step_both(optim, make(optim, "adam", {}, torch.float32), form, torch.float32, assert_equal)


def test_the_tolerance_notices_a_wrong_line_of_cpp(optim, assert_close, monkeypatch):
    wrong = {
        **EXPRESSIONS,
        torch.ops.aten.addcmul.default: lambda a, b, c, value="1": f"{a} + 1.001 * {value} * {b} * {c}",
    }
    monkeypatch.setattr("trainloop.manual.optim.cpp.EXPRESSIONS", wrong)
    form = CompiledForm(make(optim, "adam", {}, torch.float32))
    with pytest.raises(AssertionError, match="step 0, parameter 0, exp_avg_sq: off by"):
        step_both(optim, make(optim, "adam", {}, torch.float32), form, torch.float32, assert_close)


def test_the_comparison_notices_a_result_that_is_not_brought_home(optim, monkeypatch):
    monkeypatch.setattr(in_place, "_bring_home", lambda *_: None)
    form = ForeachForm(make(optim, "rprop", {}, torch.float32))
    with pytest.raises(AssertionError, match="step 0, parameter 0, state prev: ours"):
        step_both(optim, make(optim, "rprop", {}, torch.float32), form, torch.float32, optim.assert_same_bits)


def test_the_forms_take_turns_with_the_loop_and_with_torch(optim):
    ours = make(optim, "sgd", SGD_SETTINGS, torch.float32)
    theirs = make(optim, "sgd", SGD_SETTINGS, torch.float32)
    forms = [ours, ForeachForm(ours), CompiledForm(ours), ours, CompiledForm(ours)]
    for step in range(10):
        for optimizer in (ours, theirs):
            optim.set_grads(optim.all_params(optimizer), optim.make_grads(step, torch.float32))
        forms[step % len(forms)].step()
        theirs.step()
        optim.assert_same_bits(ours, theirs, f"step {step}")
    twin_params = [torch.nn.Parameter(param.detach().clone()) for param in optim.all_params(ours)]
    twin = torch.optim.SGD([{"params": twin_params[:2]}, {"params": twin_params[2:]}], foreach=False, **SGD_SETTINGS)
    twin.load_state_dict(copy.deepcopy(ours.state_dict()))
    for optimizer in (ours, twin):
        optim.set_grads(optim.all_params(optimizer), optim.make_grads(20, torch.float32))
    CompiledForm(ours).step()
    twin.step()
    optim.assert_same_bits(ours, twin, "after loading")


@pytest.mark.parametrize("form", FORMS)
def test_a_loaded_state_goes_on(optim, assert_close, form):
    first, second = make(optim, "adamw", {}, torch.float64), make(optim, "adamw", {}, torch.float64)
    fast = FORMS[form](second)
    step_both(optim, first, fast, torch.float64, assert_close, steps=3)
    # Saved without the layout of the first parameter: the form brings it back.
    saved = first.state_dict()
    saved["state"][0] = {name: value.contiguous() for name, value in saved["state"][0].items()}
    second.load_state_dict(saved)
    step_both(optim, first, fast, torch.float64, assert_close, steps=3)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_overwrites_parameters_and_a_tape_can_notice(optim, form):
    fast = FORMS[form](make(optim, "adamw", {}, torch.float32))
    params = optim.all_params(fast.optimizer)
    optim.set_grads(params, optim.make_grads(1, torch.float32))
    fast.step()
    before = [(param.data_ptr(), param._version, fast.optimizer.state[param]["exp_avg"].data_ptr()) for param in params]
    alias = params[2].data
    fast.step()
    for param, (address, version, state_address) in zip(params, before, strict=True):
        assert param.data_ptr() == address
        assert fast.optimizer.state[param]["exp_avg"].data_ptr() == state_address
        assert param._version > version
    assert torch.equal(alias, params[2])


@pytest.mark.parametrize("form", FORMS)
def test_data_assigned_between_steps_is_what_the_next_step_updates(optim, form):
    loop, fast = make(optim, "sgd", {}, torch.float32), FORMS[form](make(optim, "sgd", {}, torch.float32))
    for optimizer in (loop, fast):
        params = optim.all_params(getattr(optimizer, "optimizer", optimizer))
        optim.set_grads(params, optim.make_grads(1, torch.float32))
        optimizer.step()
        params[2].data = params[2].data * 3
        optimizer.step()
    optim.assert_same_bits(fast.optimizer, loop, "after an assignment")


@pytest.mark.parametrize("form", FORMS)
def test_a_change_of_lr_captures_nothing_and_a_change_of_a_setting_is_obeyed(optim, form):
    loop, fast = (
        make(optim, "sgd", SGD_SETTINGS, torch.float32),
        FORMS[form](make(optim, "sgd", SGD_SETTINGS, torch.float32)),
    )
    step_both(optim, loop, fast, torch.float32, optim.assert_same_bits, steps=3)
    assert len(fast._captured) == 1
    for optimizer in (loop, fast.optimizer):
        optimizer.param_groups[1]["weight_decay"] = 0.0
    step_both(optim, loop, fast, torch.float32, optim.assert_same_bits, steps=3)
    assert len(fast._captured) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_group_may_come_later(optim, form):
    both = [SGD(optim.make_params(torch.float32)[:1], lr=0.1, **SGD_SETTINGS) for _ in range(2)]
    fast = FORMS[form](both[1])
    for optimizer in both:
        optimizer.add_param_group({"params": optim.make_params(torch.float32)[1:], "lr": 0.5})
    step_both(optim, both[0], fast, torch.float32, optim.assert_same_bits, steps=3)


def odd_params():
    whole = torch.linspace(-1, 1, 48).reshape(6, 8)
    return {
        "a slice": torch.nn.Parameter(whole[:, 1:5]),
        "transposed": torch.nn.Parameter(whole.clone().T),
        "empty": torch.nn.Parameter(torch.zeros(0, 3)),
        "3-d convolution": torch.nn.Parameter(
            torch.linspace(0, 1, 48).reshape(2, 3, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d)
        ),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", odd_params())
def test_a_parameter_of_any_layout_is_updated(optim, form, kind):
    both = [
        SGD([odd_params()[kind], torch.nn.Parameter(torch.ones(3))], lr=0.1, **SGD_SETTINGS) for _ in ("loop", "form")
    ]
    fast = FORMS[form](both[1])
    for step in range(3):
        for optimizer in both:
            for param in optim.all_params(optimizer):
                param.grad = torch.linspace(step, -2, param.numel()).reshape(param.shape)
        both[0].step()
        fast.step()
        for one, two in zip(*(optim.all_params(optimizer) for optimizer in both), strict=True):
            assert torch.equal(one, two), f"step {step}"


@pytest.mark.parametrize("form", FORMS)
def test_a_state_of_another_dtype_goes_through_the_loop(optim, form):
    both = [SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1, **SGD_SETTINGS) for _ in range(2)]
    for optimizer in both:
        (param,) = optim.all_params(optimizer)
        optimizer.state[param] = {"momentum_buffer": torch.full((3,), 0.1, dtype=torch.float64)}
        param.grad = torch.ones(3)
    both[0].step()
    FORMS[form](both[1]).step()
    optim.assert_same_bits(both[1], both[0], "once")


@pytest.mark.parametrize("form", FORMS)
def test_a_parameter_that_stands_twice_is_updated_twice(optim, form):
    both = []
    for _ in range(2):
        param = torch.nn.Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        with pytest.warns(UserWarning, match="2 parameters of which 1 differ"):
            both.append(SGD([param, param], lr=0.1, **SGD_SETTINGS))
    both[0].step()
    FORMS[form](both[1]).step()
    optim.assert_same_bits(both[1], both[0], "once")


@pytest.mark.parametrize("form", FORMS)
def test_a_sparse_gradient_is_refused(form):
    param = torch.nn.Parameter(torch.zeros(4, 2))
    param.grad = torch.zeros(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match=r"sparse gradients are not supported, found one of shape \(4, 2\)"):
        FORMS[form](SGD([param])).step()


@pytest.mark.parametrize("form", FORMS)
def test_step_runs_the_closure_first_and_returns_its_loss(form):
    param = torch.nn.Parameter(torch.ones(2))

    def closure():
        param.grad = torch.ones(2)
        return "the loss"

    assert FORMS[form](SGD([param], lr=0.5)).step(closure) == "the loss"
    assert param.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38, 1e-42], ids=str)
def test_an_odd_gradient_has_the_outcome_of_the_loop(optim, form, value):
    both = [make(optim, "sgd", SGD_SETTINGS, torch.float32) for _ in range(2)]
    fast = FORMS[form](both[1])
    for optimizer in both:
        grads = list(optim.make_grads(1, torch.float32))
        grads[2] = torch.full_like(grads[2], value)
        optim.set_grads(optim.all_params(optimizer), grads)
    both[0].step()
    fast.step()
    for one, two in zip(*(optim.all_params(optimizer) for optimizer in both), strict=True):
        assert torch.equal(one.nan_to_num(7.0), two.nan_to_num(7.0))
