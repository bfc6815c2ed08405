"""The answers to --solve, --match and --stack as text."""

from __future__ import annotations

import dataclasses

import pytest
from torch import nn

from trainloop.explain_conv.match import match
from trainloop.explain_conv.parse import parse_problem
from trainloop.explain_conv.screen.answers import match_lines, note_of, solve_lines, stack_lines
from trainloop.explain_conv.solver import Parameters, solve
from trainloop.explain_conv.stack.source import stack_of
from trainloop.explain_conv.stack.trace import trace

UP = nn.Sequential(
    nn.Conv2d(3, 8, 3, stride=2, padding=1),
    nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(8, 8, (2, 5), stride=4),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
)


def joined(lines):
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_line_fits(width):
    problems = ("Conv2d(1, 1, 4, padding='same')", "Conv2d(3, 8, 3, stride=2, padding=1)")
    lines = [
        *solve_lines(solve((7, 7), (14, 14), transposed=True), width),
        *solve_lines(solve((7, 9), (14, 9), transposed=False), width),
        *(line for text in problems for line in match_lines(match(parse_problem(text, None)), width)),
        *stack_lines(stack_of("resnet20", None), width),
        *stack_lines(trace(UP, (3, 32, 32), "up"), width),
    ]
    assert max(len(line.plain.rstrip()) for line in lines) <= width


def test_the_solver_says_how_many_and_within_which_bounds():
    text = joined(solve_lines(solve((7, 7), (14, 14), transposed=True), 110))
    assert text.startswith(
        "transposed convolution 7×7 → 14×14: 241 solutions\nof 23,301 combinations tried: kernel_size ≤ 11"
    )
    assert "… and 221 more, less simple (--json lists them all)" in text
    assert "checkerboard" in text
    assert "empty" not in text  # those that leave outputs empty are the least simple, and stand behind all others


@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        (Parameters(2, 2, 0, 1, 0), ""),
        (Parameters(3, 2, 1, 1, 1), "checkerboard"),
        (Parameters(1, 2, 0, 1, 1), "leaves outputs empty"),
        (Parameters(2, 2, 0, 1, 1), "the last output empty"),
        (Parameters(3, 3, 0, 1, 2), "the last 2 empty"),
        (Parameters(4, 3, 1, 1, 2), "checkerboard, the last output empty"),
    ],
)
def test_what_is_to_be_known_of_a_solution_is_so(conv, numbers, note):
    kernel, stride, padding, dilation, more = numbers
    assert note_of(numbers, transposed=True) == note
    text = f"ConvTranspose1d(1, 1, {kernel}, {stride}, {padding}, {more}, dilation={dilation})"
    counts = conv.explained(text, "9").overlap.counts[0].tolist()
    assert ("empty" in note) == (min(counts) == 0)
    assert ("checkerboard" in note) == (
        len(set(counts[kernel : -kernel - more])) > 1 and min(counts[kernel : -kernel - more]) > 0
    )


def test_without_a_solution_the_nearest_sizes_are_told():
    text = joined(solve_lines(solve((14, 14), (700, 700), transposed=False), 110))
    assert "no solutions" in text
    assert "nearest sizes along H that 14 leads to: 54" in text


def test_the_matching_module_is_told_with_what_other_sizes_need():
    text = joined(match_lines(match(parse_problem("Conv2d(3, 8, 3, stride=2, padding=1)", "6x7")), 110))
    assert "ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=(1, 0))   3×4 → 6×7" in text
    assert "The output_padding depends on H and W: 1 for 2·n, 0 for 2·n + 1." in text
    assert "not the values" in text


def test_a_network_is_told_row_by_row():
    text = joined(stack_lines(stack_of("small_cnn", None), 110))
    assert "max_pool2d k2 s2  64×8×8       4    1.5     10  pool (MaxPool2d)" in text
    assert "receptive field of a cell of the last feature map: 18 pixels" in text
    assert "mean then puts all cells together: 46 pixels" in text


def test_cells_that_differ_are_told():
    rows = [line.plain.split("  ") for line in stack_lines(trace(UP[:3], (3, 32, 32), "up"), 120)]
    told = [[part.strip() for part in row if part] for row in rows]
    assert ["conv_transpose2d k3 s2 p1", "8×32×32", "~1", "0", "3 to 5", "1 (ConvTranspose2d)"] in told
    last = ["conv_transpose2d k2x5 s4", "8×126×129", "~0.25", "0", "0 to 5 × 3 to 5", "2 (ConvTranspose2d)"]
    assert last in told
    text = " ".join(joined(stack_lines(trace(UP[:3], (3, 32, 32), "up"), 120)).split())
    assert "0: such a cell sees nothing" in text
    assert "0 to 5 × 3 to 5 pixels" in text
    assert "cells differ" not in joined(stack_lines(stack_of("resnet20", None), 120))


def test_what_is_not_followed_is_told():
    stack = dataclasses.replace(stack_of("small_cnn", None), not_followed="roll in block3", end=None)
    assert "not a chain of windows from here on, so not followed further: roll in block3" in " ".join(
        joined(stack_lines(stack, 110)).split()
    )
