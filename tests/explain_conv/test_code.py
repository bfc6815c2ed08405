"""The printed program runs as it is printed, and gives the numbers of the explanation."""

from __future__ import annotations

import pytest

from trainloop.explain_conv.code import program
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.parse import parse_problem

TEXTS = (
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", None),
    ("ConvTranspose2d(4, 6, (2, 3), stride=(2, 1), groups=2, dilation=2, bias=False)", "3x4"),
    ("ConvTranspose1d(2, 2, 4, stride=3, padding=1)", "5"),
    ("Conv2d(2, 4, 3, stride=2, padding=1, groups=2)", "6x9"),
    ("Conv2d(1, 2, 3, padding=2, padding_mode='reflect')", "5x4"),
    ("Conv2d(1, 2, 3, padding=2, padding_mode='replicate')", "5x4"),
    ("Conv2d(1, 2, 3, padding=2, padding_mode='circular')", "5x4"),
    ("Conv2d(1, 1, 4, padding='same')", "5x4"),
    ("Conv1d(2, 2, 3, dilation=2)", "9"),
)


def prove(conv, problem, capsys):
    names = conv.run_program(program(problem))
    expected = explain_conv(problem).output.tolist()
    assert names["y"] == (expected if problem.num_axes == 2 else [channel[0] for channel in expected])
    assert names["by_torch"] == names["y"]
    assert capsys.readouterr().out.endswith("loops and torch agree: True\n")


@pytest.mark.parametrize(("text", "size"), TEXTS, ids=[text for text, _ in TEXTS])
def test_it_gives_exactly_these_numbers(conv, text, size, capsys):
    prove(conv, parse_problem(text, size), capsys)


def test_it_does_so_for_random_problems(conv, capsys):
    for problem in conv.random_problems(40, seed=6):
        prove(conv, problem, capsys)


def test_a_wrong_loop_would_be_noticed(conv, capsys):
    text = program(parse_problem(*TEXTS[0])).replace("2 * h + k - 1", "2 * h + k")
    names = conv.run_program(text)
    assert names["y"] != names["by_torch"]
    assert capsys.readouterr().out.endswith("loops and torch agree: False\n")
