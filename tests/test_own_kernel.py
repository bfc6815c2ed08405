"""Kernels of the user's own: what is taken from the file, and each fault of it."""

from __future__ import annotations

import pytest

from trainloop.bench.contestants import Contestant
from trainloop.bench.words import parse_words
from trainloop.errors import PluginError
from trainloop.manual.conv import CONV2D, Algorithm, TransposedAlgorithm
from trainloop.own_kernel import load_kernel, raised

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
