"""Problems as the text of a module: read without being run, with torch's own defaults."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.bench.module_text import is_module_text, parse_module, parse_shape
from trainloop.bench.problem import Problem
from trainloop.bench.words import parse_words
from trainloop.errors import UsageError


def refused(text, input="2,64,15,15"):
    with pytest.raises(UsageError) as caught:
        parse_module(text, input)
    assert caught.value.exit_code == 2
    return caught.value.faults[0]


def test_the_text_of_a_module_is_told_from_words():
    assert is_module_text("Conv2d(1, 2, 3)")
    assert not is_module_text("n1 c2 o3 h4 k5")


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(64, 32, 3, padding=1),
        nn.Conv2d(64, 32, (3, 5), stride=(2, 1), padding=(1, 2), dilation=2, groups=4, bias=False),
        nn.Conv2d(64, 32, 3, padding="same", dilation=2),
        nn.Conv2d(64, 32, 3, padding="valid"),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ConvTranspose2d(64, 32, 3, stride=(3, 2), padding=1, output_padding=(2, 1), groups=2, bias=False),
    ],
    ids=repr,
)
def test_what_a_module_prints_of_itself_is_read_as_what_it_does(module):
    problem = parse_module(repr(module), "2,64,15,15")
    with torch.no_grad():
        output = module(torch.zeros(2, 64, 15, 15))
    assert problem.job().output_shape == tuple(output.shape)
    assert problem.weight_shape == tuple(module.weight.shape)
    assert problem.bias == (module.bias is not None)


def test_positions_names_and_dots_are_read_alike():
    wanted = parse_words("n2 c64 o8 h15 k3 s2 p1")
    assert parse_module("torch.nn.Conv2d(64, 8, 3, 2, 1, bias=False)", "2, 64, 15, 15") == wanted
    assert (
        parse_module("Conv2d(64, out_channels=8, kernel_size=[3], stride=2, padding=1, bias=False)", "2x64x15x15")
        == wanted
    )


def test_a_text_without_a_shape_is_refused():
    fault = refused("Conv2d(64, 8, 3)", None)
    assert (fault.where, fault.expected) == ("--input", "N,C,H,W such as --input 128,64,15,15")


@pytest.mark.parametrize("shape", ["2,64,15", "2,64,15,x", "2,64,15,-1", "", "1,2,3,4,5", "1,2,3,99999999999"])
def test_a_shape_that_is_none_is_refused(shape):
    fault = refused("Conv2d(64, 8, 3)", shape)
    assert (fault.what, fault.where, fault.found) == ("this is not the shape of an input", "--input", shape)


def test_a_shape_is_read():
    assert parse_shape("(2, 64, 15, 15)") == (2, 64, 15, 15)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Conv2d(64, 8, 3", "this is not the text of a module: '(' was never closed"),
        ("(3)", "this is not the text of a module"),
        ("Linear(64, 8)", "Linear is not a module that benchmark-conv knows"),
        ("__import__('os').system('true')", "system is not a module that benchmark-conv knows"),
        ("Conv2d(64, width, 3)", "the arguments of a module in --problem are plain numbers, pairs and texts"),
        ("Conv2d(64, open('x'), 3)", "the arguments of a module in --problem are plain numbers, pairs and texts"),
        ("Conv2d(64, 8)", "Conv2d does not take these arguments: missing a required argument: 'kernel_size'"),
        ("Conv2d(64, 8, 3, size=2)", "Conv2d does not take these arguments: got an unexpected keyword argument 'size'"),
        ("Conv2d(64, 8, 3.5)", "kernel_size=3.5 is not a number or a pair of numbers"),
        ("Conv2d(64, 8, (3, 3, 3))", "kernel_size=(3, 3, 3) is not a number or a pair of numbers"),
        ("Conv2d(64, 8, True)", "kernel_size=True is not a number or a pair of numbers"),
        ("Conv2d(64, 8, 3, bias=7)", "bias=7 is neither True nor False"),
        ("Conv2d(64, '8', 3)", "out_channels='8' is not a number from 1 on"),
        ("Conv2d(64, 8, 3, groups=0)", "groups=0 is not a number from 1 on"),
        ("Conv2d(64, 8, 3, device='cpu')", "device is the run's affair"),
        ("Conv2d(64, 8, 3, padding='same', stride=2)", "padding='same' needs stride=1, as in torch"),
        (
            "Conv2d(64, 8, 3, padding_mode='reflect')",
            "padding_mode='reflect' is done before the convolution, not by its kernel",
        ),
        (
            "Conv2d(64, 8, 2, padding='same')",
            "padding='same' of a kernel of 2×2 adds one zero more on one side, which is done before the convolution",
        ),
    ],
)
def test_each_fault_of_a_text_is_told(text, what):
    fault = refused(text)
    assert (fault.what, fault.where, fault.found) == (what, "--problem", text)
    assert fault.expected


def test_another_module_is_told_the_nearest():
    assert refused("Conv1d(64, 8, 3)").help == "did you mean Conv2d?"


def test_channels_that_do_not_fit_the_input_are_refused():
    fault = refused("Conv2d(63, 8, 3)")
    assert fault.what == "an input of 64 channels does not fit a module of in_channels=63"
    assert (fault.where, fault.expected) == ("--problem and --input", "--input N,63,H,W")


def test_sizes_that_do_not_fit_are_refused_with_the_arithmetic():
    fault = refused("Conv2d(64, 8, 17)")
    assert "(15 + 2·0 − 1·(17 − 1) − 1) / 1 + 1 = -1" in fault.what
    assert fault.found == "Conv2d(64, 8, 17) of 2,64,15,15"


def test_channels_that_groups_do_not_divide_are_refused():
    assert refused("ConvTranspose2d(64, 9, 3, groups=4)").what.startswith("out_channels (=9) must be divisible")


def test_a_problem_of_a_module_knows_its_words():
    problem = parse_module("ConvTranspose2d(64, 8, 4, 2, 1)", "2,64,15,15")
    assert isinstance(problem, Problem)
    assert problem.text() == "transpose n2 c64 o8 h15 k4 s2 p1 bias"
