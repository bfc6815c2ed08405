"""Kernels of the user's own: what is taken from the file, and each fault of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainloop.bench.contestants import Contestant
from trainloop.bench.words import parse_words
from trainloop.errors import PluginError
from trainloop.manual.conv import CONV2D, Algorithm, TransposedAlgorithm
from trainloop.manual.conv.choice import Choice
from trainloop.own_kernel import kernel_files, load_kernel, own_convolutions, raised

JOB = parse_words("n2 c3 o4 h5 k3").job()
SOURCE = """\
import torch

number = 3


def mine(input, weight, bias, stride, padding, dilation, groups):
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def mine_grad_weight(grad_output, input, weight_shape, stride, padding, dilation, groups):
    return torch.nn.grad.conv2d_weight(input, weight_shape, grad_output, stride, padding, dilation, groups)


def mine_supports(input, weight, stride, padding, dilation, groups):
    if input.shape[1] > 100:
        return f"at most 100 channels, found {input.shape[1]}"


def winograd(*arguments):
    return torch.conv2d(*arguments)


def transposed(*arguments):
    return torch.conv_transpose2d(*arguments)


def fails(*arguments):
    raise ValueError("out of luck")


wrong = wrong_grad_input = mine
wrong_grad_weight = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_a_function_is_an_algorithm(file):
    kernel, found = load_kernel(f"{file}:mine", transposed=False)
    assert (type(kernel), kernel.name, found) == (Algorithm, "mine", file)
    assert kernel.kernel(JOB, "forward") == str(file)


def test_a_function_of_transposed_convolutions_is_one_of_these(file):
    kernel, _ = load_kernel(f"{file}:transposed", transposed=True)
    assert isinstance(kernel, TransposedAlgorithm)


def test_a_name_that_is_taken_has_the_files_in_front(file):
    assert load_kernel(f"{file}:winograd", transposed=False)[0].name == "own.winograd"


def test_a_direction_that_is_missing_is_refused_by_name(file):
    kernel, found = load_kernel(f"{file}:mine", transposed=False)
    own = Contestant(kernel.name, "nchw", kernel, file=found)
    assert own.refuses(JOB, "grad_input") == "own.py has no mine_grad_input"
    assert own.refuses(JOB, "grad_weight") is None
    with pytest.raises(PluginError, match="the file has no mine_grad_input"):
        kernel.grad_input()


def test_supports_is_asked(file):
    kernel, _ = load_kernel(f"{file}:mine", transposed=False)
    assert kernel.refuses(JOB) is None
    assert kernel.refuses(parse_words("n2 c300 o4 h5 k3").job()) == "at most 100 channels, found 300"


def test_its_costs_are_not_known(file):
    kernel, found = load_kernel(f"{file}:mine", transposed=False)
    own = Contestant(kernel.name, "nchw", kernel, file=found)
    assert own.workspace_mib(JOB, "forward") is None
    assert own.multiplications(JOB, "forward") is None


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nine", "the file has no nine"),
        ("number", "number cannot be called"),
        ("wrong", "wrong_grad_weight cannot be called"),
        ("", "the name in the file is missing"),
    ],
)
def test_each_fault_of_the_file_is_told(file, name, what):
    with pytest.raises(PluginError) as caught:
        load_kernel(f"{file}:{name}", transposed=False)
    assert caught.value.exit_code == 2
    assert caught.value.faults[0].what == what


def test_what_a_kernel_raises_is_told_with_its_line(file):
    kernel, found = load_kernel(f"{file}:fails", transposed=False)
    with pytest.raises(ValueError, match="out of luck") as caught:
        kernel.forward()
    line = SOURCE.splitlines().index('    raise ValueError("out of luck")') + 1
    assert raised(found, caught.value) == f"it raised ValueError: out of luck at {file}:{line}"


def test_what_an_algorithm_of_ours_raises_has_no_file():
    with pytest.raises(TypeError) as caught:
        CONV2D["im2col"].forward()
    assert raised(None, caught.value).startswith("it raised TypeError: forward() missing")


# Guarded, for those who compute on with what a kernel returns

GUARDED = """\
import torch
from torch.nn import grad


def whole(*arguments):
    return torch.conv2d(*arguments)


def grad_input(grad_output, weight, input_shape, *geometry):
    return grad.conv2d_input(input_shape, weight, grad_output, *geometry)


def grad_weight(grad_output, input, weight_shape, *geometry):
    return grad.conv2d_weight(input, weight_shape, grad_output, *geometry)


def raises(*arguments):
    raise ValueError("out of luck")


def nothing(*arguments):
    pass


def shape(input, weight, bias, *geometry):
    return whole(input, weight, bias, *geometry)[..., 1:]


def dtype(*arguments):
    return whole(*arguments).double()


def device(*arguments):
    return whole(*arguments).to("meta")


def writes(input, *rest):
    return whole(input.mul_(2), *rest)


def backward(*arguments):
    return whole(*arguments)


def asks(*arguments):
    return whole(*arguments)


def asks_supports(*arguments):
    raise KeyError("support")


for name in ("whole", "raises", "nothing", "shape", "dtype", "device", "writes", "backward", "asks"):
    globals()[f"{name}_grad_input"] = grad_input
    globals()[f"{name}_grad_weight"] = grad_weight
backward_grad_input = lambda grad_output, *rest: grad_output  # noqa: E731


def lonely(*arguments):
    return whole(*arguments)


lonely_grad_weight = grad_weight
"""
X, W, GEOMETRY = torch.ones(2, 3, 5, 5), torch.ones(4, 3, 3, 3), ((1, 1), (0, 0), (1, 1), 1)


@pytest.fixture
def guard(tmp_path):
    path = tmp_path / "guard.py"
    path.write_text(GUARDED, encoding="utf-8")
    return path


def loaded(file, name, rest=""):
    return own_convolutions(f"{file}:{name}{rest}", [file])[f"{file}:{name}"]


def test_a_guarded_kernel_returns_what_the_kernel_returns(guard):
    kernel = loaded(guard, "whole")
    right = CONV2D["aten"]
    dy = torch.ones(2, 4, 3, 3)
    assert kernel.name == f"{guard}:whole"
    assert torch.equal(kernel.forward(X, W, None, *GEOMETRY), right.forward(X, W, None, *GEOMETRY))
    for direction, (operand, shape) in {"grad_input": (W, X.shape), "grad_weight": (X, W.shape)}.items():
        assert torch.allclose(
            *(getattr(algorithm, direction)(dy, operand, tuple(shape), *GEOMETRY) for algorithm in (kernel, right))
        )


@pytest.mark.parametrize(
    ("name", "what", "found"),
    [
        ("raises", "raised in forward of n2 c3 o4 h5 k3", "ValueError: out of luck"),
        ("nothing", "returned something else than the forward of n2 c3 o4 h5 k3", "NoneType"),
        ("shape", "returned something else", "a tensor of shape (2, 4, 3, 2), float32, on cpu"),
        ("dtype", "returned something else", "a tensor of shape (2, 4, 3, 3), float64, on cpu"),
        ("device", "returned something else", "a tensor of shape (2, 4, 3, 3), float32, on meta"),
        ("writes", "changed what it was given in forward of n2 c3 o4 h5 k3", "an operand written to in place"),
    ],
)
def test_what_is_wrong_with_a_result_is_one_message(guard, name, what, found):
    with pytest.raises(PluginError) as caught:
        loaded(guard, name).forward(X.clone(), W, None, *GEOMETRY)
    (fault,) = caught.value.faults
    assert fault.what.startswith(f"{guard}:{name} {what}")
    assert fault.found == found
    assert fault.where.startswith(str(guard))


def test_a_wrong_gradient_names_the_shape_that_it_should_have(guard):
    with pytest.raises(PluginError) as caught:
        loaded(guard, "backward").grad_input(torch.ones(2, 4, 3, 3), W, (2, 3, 5, 5), *GEOMETRY)
    assert caught.value.faults[0].expected == "a tensor of shape (2, 3, 5, 5), float32, on cpu"


def test_a_kernel_that_fails_when_it_is_asked_says_so(guard):
    with pytest.raises(PluginError, match="failed when it was asked whether it supports n2 c3 o4 h5 k3"):
        loaded(guard, "asks").refuses(JOB)


def test_a_kernel_without_a_gradient_is_refused_with_its_name(guard):
    with pytest.raises(PluginError) as caught:
        loaded(guard, "lonely")
    text = str(caught.value)
    assert "guard.py has no lonely_grad_input" in text
    assert "expected: lonely_grad_input(grad_output, weight, input_shape, stride, padding, dilation, groups)" in text
    assert f"{guard}:lonely,aten" in text


def test_a_gradient_that_is_missing_may_be_the_librarys_by_name(guard):
    choose = Choice("own,aten", {**CONV2D, "own": loaded(guard, "lonely", ",aten")})
    chosen = [choose(JOB, direction).name for direction in ("forward", "grad_input", "grad_weight")]
    assert chosen == [f"{guard}:lonely", "aten", f"{guard}:lonely"]


def test_a_file_that_the_command_line_does_not_name_is_not_run(guard):
    with pytest.raises(PluginError, match="a config alone never runs a file") as caught:
        own_convolutions(f"aten,{guard}:whole", [])
    assert f"--plugin {guard}" in str(caught.value)


def test_names_of_algorithms_are_no_kernels():
    assert own_convolutions("winograd,aten", []) == {}
    assert kernel_files("winograd, a/b.py:f,aten") == [Path("a/b.py")]
