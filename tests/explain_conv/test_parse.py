"""Problems from texts: read without being run, with torch's own defaults, and with the rule where they do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.errors import UsageError
from trainloop.explain_conv.parse import parse_problem


def refused(text, input=None):
    with pytest.raises(UsageError) as caught:
        parse_problem(text, input)
    assert caught.value.exit_code == 2
    return caught.value.faults[0]


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(2, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=2, groups=2),
        nn.Conv2d(2, 4, 3, padding="same", dilation=2, padding_mode="reflect"),
        nn.Conv2d(2, 4, 2, padding="same", padding_mode="circular"),
        nn.Conv2d(2, 4, 3, padding="valid"),
        nn.ConvTranspose1d(2, 4, 4, 2, 1),
        nn.ConvTranspose2d(2, 4, 3, stride=(3, 2), padding=1, output_padding=(2, 1), groups=2, bias=False),
    ],
    ids=repr,
)
def test_what_a_module_prints_of_itself_is_read_as_what_it_does(module):
    axes = 1 if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)) else 2
    problem = parse_problem(repr(module), "x".join("78"[:axes]))
    with torch.no_grad():
        output = module(torch.zeros(1, 2, *(7, 8)[:axes]))
    assert problem.own(problem.output_sizes) == tuple(output.shape[2:])
    assert parse_problem(problem.text, problem.size_text) == problem


@pytest.mark.parametrize(
    "pasted",
    [
        "(up): ConvTranspose2d(1, 1, kernel_size=(3, 3), stride=(2, 2))",
        "self.up = nn.ConvTranspose2d(1, 1, 3, stride=2)",
        "up[0] = torch.nn.ConvTranspose2d(1, 1, 3, stride=2)",
        "    nn.ConvTranspose2d(1, 1, 3, stride=2),",
        "ConvTranspose2d(1, 1, 3, stride=2);  ",
    ],
)
def test_a_line_of_source_can_be_pasted(pasted):
    assert parse_problem(pasted, None).text == "ConvTranspose2d(1, 1, 3, stride=2)"


def test_the_text_leaves_out_what_torch_takes_by_itself():
    text = "torch.nn.Conv2d(1, 1, (3, 3), (2, 1), 0, 1, 1, True, 'zeros')"
    assert parse_problem(text, None).text == "Conv2d(1, 1, 3, stride=(2, 1))"


@pytest.mark.parametrize("size", ["5x6", "1x5x6", "1,1,5,6", "5×6"])
def test_the_size_is_read_with_or_without_channels(size):
    assert parse_problem("Conv2d(1, 1, 3)", size).input_sizes == (5, 6)


def test_a_module_of_one_axis_is_a_plane_of_one_row():
    problem = parse_problem("Conv1d(1, 1, 3, stride=2, padding=1)", "7")
    assert (problem.input_sizes, problem.kernel_size, problem.stride, problem.padding) == (
        (1, 7),
        (1, 3),
        (1, 2),
        (0, 1),
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Conv2d(1, 1, 3)", (5, 5)),
        ("Conv2d(1, 1, (3, 9), stride=2)", (5, 11)),
        ("Conv2d(1, 1, 13, padding=7, padding_mode='reflect')", (8, 8)),
        ("ConvTranspose2d(1, 1, 3, padding=4)", (8, 8)),
    ],
)
def test_the_default_size_shows_an_output_of_two(text, size):
    problem = parse_problem(text, None)
    assert problem.input_sizes == size
    assert min(problem.output_sizes) > 1


@pytest.mark.parametrize(
    ("text", "input", "what", "expected"),
    [
        ("hello", None, "this is not the text of a module", "such as 'ConvTranspose2d("),
        ("Linear(3, 4)", None, "Linear is not a module that explain-conv knows", "Conv1d or Conv2d or"),
        ("Conv2d(1, 1)", None, "missing a required argument: 'kernel_size'", "kernel_size"),
        ("Conv2d(1, 1, 2.5)", None, "kernel_size=2.5 is not a number or a pair", "such as kernel_size=3"),
        ("Conv1d(1, 1, (3, 3))", None, "kernel_size=(3, 3) is not a number", "such as kernel_size=3"),
        ("", None, "this is not the text of a module", "such as 'ConvTranspose2d("),
        ("Conv2d(1, 1, 3, stride=1, stride=2)", None, "stride is given more than once", "stride once"),
        ("Conv2d(**{'in_channels': 1})", None, "the arguments of a module in --problem are plain", "such as"),
        (f"Conv2d(1, 1, {10**20})", None, f"kernel_size={10**20} is too large", "at most 999,999"),
        (f"Conv2d({10**20}, 1, 3)", None, f"in_channels={10**20} is too large", "at most 999,999"),
        ("Conv2d(1, 1, 3)", "9999999x9", "this input is too large", "numbers of at most 999,999"),
        ("Conv2d(1, 1, 3)", "1x1x1x5x5", "5 numbers are not the size", "HxW, such as --input 5x5"),
        ("Conv2d('1', 1, 3)", None, "in_channels='1' is not a whole number", "such as in_channels=1"),
        ("Conv2d(1, 1, 0)", None, "kernel_size (=0) must be at least 1", "nearest: Conv2d(1, 1, 1) --input 5x5"),
        ("Conv2d(-2, 1, 3)", None, "in_channels (=-2) must be at least 1", "nearest: Conv2d(1, 1, 3) --input 5x5"),
        ("Conv2d(1, 1, 3, stride=0)", None, "stride (=0) must be at least 1", "nearest: Conv2d(1, 1, 3) --input"),
        (
            "Conv2d(1, 1, 3, padding=-1)",
            "5x5",
            "padding (=-1) must be at least 0",
            "nearest: Conv2d(1, 1, 3) --input",
        ),
        ("Conv2d(1, 1, 3, groups=0)", None, "groups (=0) must be at least 1", "nearest: Conv2d(1, 1, 3) --input 5x5"),
        (
            "Conv2d(3, 4, 3, groups=2)",
            None,
            "in_channels (=3) must be divisible",
            "nearest: Conv2d(3, 4, 3) --input 5x5",
        ),
        (
            "Conv2d(1, 1, 7)",
            "5x5",
            "(5 + 2·0 − 1·(7 − 1) − 1) / 1 + 1 = -1",
            "nearest: Conv2d(1, 1, 7, padding=1) --input 5x5",
        ),
        (
            "ConvTranspose2d(1, 1, 3, stride=2, output_padding=2)",
            None,
            "output_padding (=2) must be smaller than stride (=2)",
            "nearest: ConvTranspose2d(1, 1, 3, stride=2, output_padding=1) --input 5x5",
        ),
        (
            "ConvTranspose1d(1, 1, 3, padding=4)",
            "3",
            "the output would have size -3 along W",
            "nearest: ConvTranspose1d(1, 1, 3, padding=2) --input 3",
        ),
        (
            "Conv2d(1, 1, 3, padding=5, padding_mode='reflect')",
            "5x5",
            "padding_mode 'reflect' cannot add 5 elements along H",
            "nearest: Conv2d(1, 1, 3, padding=4, padding_mode='reflect') --input 5x5",
        ),
        (
            "Conv2d(1, 1, 3, padding='same', stride=2)",
            None,
            "padding='same' needs stride=1, as in torch (stride is 2)",
            "nearest: Conv2d(1, 1, 3, padding='same') --input 5x5",
        ),
        (
            "Conv1d(2, 1, 3, padding='same', stride=3, groups=0)",
            "7",
            "groups (=0) must be at least 1",
            "nearest: Conv1d(2, 1, 3, padding='same') --input 7",
        ),
        ("Conv2d(1, 1, 3, bias=7)", None, "bias=7 is neither True nor False", "bias=True or bias=False"),
        ("ConvTranspose1d(1, 1, 3, bias=None)", None, "bias=None is neither True nor False", "bias=True or bias=False"),
        ("Conv2d(1, 1, 3, padding='full')", None, "padding='full' is not known", "numbers, 'same' or 'valid'"),
        ("Conv2d(1, 1, 3, padding_mode='wrap')", None, "padding_mode='wrap' is not known", "one of zeros, reflect"),
        (
            "ConvTranspose2d(1, 1, 3, padding='same')",
            None,
            "the padding of a transposed convolution is numbers",
            "padding=1",
        ),
        (
            "ConvTranspose2d(1, 1, 3, padding_mode='reflect')",
            None,
            "a transposed convolution knows padding_mode='zeros' alone",
            "a module without padding_mode",
        ),
        ("Conv2d(1, 1, 3, device='cpu')", None, "device has no part in an explanation", "a module without device"),
        ("Conv2d(1, 1, 3)", "5", "1 number is not the size of this module's input", "HxW, such as --input 5x5"),
        ("Conv2d(1, 1, 3)", "5xa", "this is not the size of an input", "HxW, such as --input 5x5"),
        ("Conv2d(1, 1, 3)", "3x5x5", "an input of 3 channels does not fit", "1xHxW, or HxW alone"),
        ("Conv2d(1, 1, 3)", "0x5", "the input's size (=(0, 5)) must be at least 1", "nearest: Conv2d(1, 1, 3, padding"),
    ],
)
def test_each_fault_is_told_with_what_is_expected(text, input, what, expected):
    fault = refused(text, input)
    assert what in fault.what
    assert expected in fault.expected
    assert fault.found
    assert fault.where


@pytest.mark.parametrize(
    ("text", "input", "help", "offer"),
    [
        (
            "ConvTranspose1d(1, 1, 3, stride=2, padding=9)",
            "4",
            "use a padding of at most 4",
            "ConvTranspose1d(1, 1, 3, stride=2, padding=4)",
        ),
        (
            "ConvTranspose2d(1, 1, 3, stride=2, padding=(1, 50), output_padding=1)",
            "5x5",
            "use a padding of at most 5",
            "ConvTranspose2d(1, 1, 3, stride=2, padding=(1, 5), output_padding=1)",
        ),
        ("ConvTranspose2d(1, 1, 3, padding=(9, 7))", "5x5", "at most 3", "ConvTranspose2d(1, 1, 3, padding=3)"),
        ("Conv2d(1, 1, (7, 9))", "5x5", "use a padding of at least 1", "Conv2d(1, 1, (7, 9), padding=(1, 2))"),
        ("Conv1d(1, 1, 200)", "5", "use a padding of at least 98", "Conv1d(1, 1, 200, padding=98)"),
        ("Conv1d(1, 1, 3, dilation=4)", "5", "use a padding of at least 2", "Conv1d(1, 1, 3, padding=2, dilation=4)"),
        ("Conv2d(1, 1, 9, padding='valid')", "5x6", "or a smaller kernel", "Conv2d(1, 1, (5, 6), padding='valid')"),
        (
            "Conv1d(1, 1, 30, padding=2, padding_mode='reflect')",
            "5",
            "or a smaller kernel",
            "Conv1d(1, 1, 9, padding=2, padding_mode='reflect')",
        ),
        (
            "Conv2d(1, 1, 3, padding=(90, 6), padding_mode='reflect')",
            "5x5",
            "use a smaller padding",
            "Conv2d(1, 1, 3, padding=4, padding_mode='reflect')",
        ),
        (
            "Conv2d(1, 1, 3, padding=(90, 6), padding_mode='circular')",
            "5x5",
            "use a smaller padding",
            "Conv2d(1, 1, 3, padding=5, padding_mode='circular')",
        ),
    ],
)
def test_the_nearest_is_what_the_help_names(text, input, help, offer):
    fault = refused(text, input)
    assert help in fault.help
    assert fault.expected == f"nearest: {offer} --input {input}"
