from __future__ import annotations

import math
import re

import pytest
import torch

from trainloop.explain.trace import traced
from trainloop.manual.optim import OPTIMIZERS
from trainloop.tolerance import tolerance

INDEX = (1, 0)
STEPS = 3


def settings_of(name):
    """The first value of every option, then the last of every one."""
    options = OPTIMIZERS[name].options
    made = ({key: values[0] for key, values in options.items()}, {key: values[-1] for key, values in options.items()})
    return [settings for settings in made if accepted(name, settings)]


def accepted(name, settings):
    try:
        make(name, settings)
    except ValueError:
        return False
    return True


def make(name, settings, shape=(3, 2)):
    param = torch.nn.Parameter(torch.linspace(-1.0, 1.5, math.prod(shape)).reshape(shape))
    return OPTIMIZERS[name]([param], **settings), param


CASES = [(name, settings) for name in OPTIMIZERS for settings in settings_of(name)]


def steps(optimizer, param, index=INDEX, count=STEPS):
    """Take steps, the last of them traced."""
    for step in range(1, count + 1):
        generator = torch.Generator().manual_seed(step)
        param.grad = torch.randn(param.shape, generator=generator)
        if step == count:
            plain = optimizer.update
            optimizer.update, calls = traced(plain, index)
        optimizer.step()
    return calls[0]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_tracing_changes_no_bit(name, settings):
    (watched, watched_param), (plain, plain_param) = make(name, settings), make(name, settings)
    steps(watched, watched_param)
    for step in range(1, STEPS + 1):
        plain_param.grad = torch.randn(plain_param.shape, generator=torch.Generator().manual_seed(step))
        plain.step()
    assert torch.equal(watched_param, plain_param)
    for key, value in plain.state.get(plain_param, {}).items():
        assert torch.equal(watched.state[watched_param][key], value), key


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_the_last_param_of_the_equations_is_the_new_weight(name, settings):
    optimizer, param = make(name, settings)
    operations = steps(optimizer, param).operations
    last = [operation for operation in operations if operation.name == "param"][-1]
    assert last.value == param[INDEX].item()


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_every_state_is_told(name, settings):
    optimizer, param = make(name, settings)
    operations = steps(optimizer, param).operations
    told = {operation.kept_as or operation.name: operation for operation in operations}
    for key, value in optimizer.state.get(param, {}).items():
        if value.shape == param.shape:
            assert told[key].value == value[INDEX].item(), key


FUNCTIONS = {
    "sqrt": math.sqrt,
    "max": max,
    "min": min,
    "abs": abs,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "clamp": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, yes, no: yes if condition else no,
    "yes": True,
    "no": False,
    "inf": math.inf,
}


def computed(numbers):
    text = re.sub(r"(?<=[^<>=])=(?=[^=])", "==", numbers)
    return float(eval(text.replace("·", "*").replace("−", "-"), {"__builtins__": {}}, FUNCTIONS))


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_the_printed_numbers_come_to_the_printed_result(name, settings):
    optimizer, param = make(name, settings)
    for operation in steps(optimizer, param).operations:
        if operation.numbers is not None:
            found = [abs(float(text)) for text in re.findall(r"\d+(?:\.\d+)?(?:e[+-]\d+)?", operation.numbers)]
            # Of each number the sixth digit is rounded: a few 1e-6 of the largest, the size of float32's own roundings here.
            bound = tolerance("float32", "gradient").bound(max([*found, abs(operation.value)]))
            assert abs(computed(operation.numbers) - operation.value) <= bound, operation


def test_names_are_those_of_the_optimizers_own_lines():
    optimizer, param = make("adamw", {"lr": 0.1})
    lines = {operation.name: operation.symbols for operation in steps(optimizer, param).operations}
    assert lines == {
        "exp_avg": "exp_avg + (1 − betas[0])·(grad − exp_avg)",
        "exp_avg_sq": "exp_avg_sq·betas[1] + (1 − betas[1])·grad·grad",
        "denominator": "sqrt(exp_avg_sq) / correction2_sqrt + eps",
        "param": "param − step_size·exp_avg / denominator",
    }


def test_a_result_that_is_remembered_by_another_name_says_so():
    optimizer, param = make("sgd", {"lr": 0.1, "momentum": 0.9})
    buffer, moved = steps(optimizer, param).operations
    assert (buffer.name, buffer.kept_as) == ("buffer", "momentum_buffer")
    assert (moved.name, moved.kept_as, moved.symbols) == ("param", "", "param − lr·buffer")


def test_what_is_computed_in_vain_is_left_out():
    optimizer, param = make("radam", {})
    names = [operation.name for operation in steps(optimizer, param).operations]
    assert "plain" in names
    assert "adaptive" not in names


def test_an_operation_over_many_elements_has_a_shape_and_no_numbers():
    optimizer, param = make("muon", {}, shape=(4, 3, 2, 2))
    operations = steps(optimizer, param, index=(0, 0, 1, 1)).operations
    y = next(operation for operation in operations if operation.name == "y")
    assert (y.symbols, y.numbers, y.value, y.shape) == ("matmul(x, T(x))", None, None, (4, 4))


def test_elements_of_a_tensor_that_lies_otherwise_have_no_numbers():
    optimizer, param = make("muon", {}, shape=(5, 2))
    operations = steps(optimizer, param).operations
    scaled = next(operation for operation in operations if "norm" in operation.symbols)
    assert (scaled.numbers, scaled.shape) == (None, (2, 5))


def test_the_numbers_of_the_step_are_told():
    optimizer, param = make("adam", {"lr": 0.1})
    assert steps(optimizer, param, count=1).scalars.keys() == {"step_size", "correction2_sqrt", "decay"}
    optimizer, param = make("muon", {"lr": 0.1})
    assert steps(optimizer, param, count=1).scalars["lr"] == 0.1


def test_one_number_alone_is_traced_too():
    optimizer, param = make("sgd", {"lr": 0.5}, shape=())
    (moved,) = steps(optimizer, param, index=()).operations
    assert moved.value == param.item()
