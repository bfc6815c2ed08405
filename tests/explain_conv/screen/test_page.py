"""The page: within its width, with what matters on it, and nothing that hangs on colour."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.parse import parse_problem
from trainloop.explain_conv.screen.page import page
from trainloop.explain_conv.screen.show import show

WIDTHS = (60, 80, 120)
TEXTS = (
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", None),
    ("ConvTranspose2d(1, 1, 11, stride=2)", "64x64"),
    ("Conv2d(2, 4, 3, padding=1, padding_mode='reflect', groups=2)", "5x6"),
    ("Conv2d(1, 1, 3, stride=2)", "64x64"),
    ("Conv1d(1, 1, 3, stride=4)", "40"),
    ("ConvTranspose1d(2, 2, 4, stride=4, dilation=2, groups=2)", "3"),
    ("ConvTranspose1d(1, 1, 1, stride=3, output_padding=2)", "4"),
)


def text_of(explanation, width):
    return "\n".join(line.plain.rstrip() for line in page(explanation, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("text", "size"), TEXTS, ids=[text for text, _ in TEXTS])
def test_every_line_fits(conv, text, size, width):
    assert max(map(len, text_of(conv.explained(text, size), width).splitlines())) <= width


def test_lines_of_random_problems_fit(conv):
    for problem in conv.random_problems(25, seed=9):
        explanation = explain_conv(problem)
        for width in WIDTHS:
            assert max(map(len, text_of(explanation, width).splitlines())) <= width


def test_the_default_page_says_what_a_reader_is_to_learn(conv):
    text = " ".join(text_of(conv.explained(), 110).split())
    for part in (
        "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1) · 5×5 → 10×10",
        "(5 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 10",
        "9 and 10 share one size",
        "0 → 9, 1 → 10 (this one)",
        "computed, not filled with zeros: row 9 is 24 55 32 71",
        "9 taps: 4 meet an input element, 5 fall between two elements",
        "1·1 + 9·3 + 5·7 + 4·9 + 0 (bias) = 99",
        "input[2,3] = 5 goes into 9 outputs",
        "scatter same as torch, zero_insert same as torch, matrix same as torch",
        "score 0.75: a checkerboard: once to 2·2 = 4 times, 1 − 1/4",
        "ConvTranspose2d(1, 1, 4, stride=2, padding=1) (kernel_size 3 → 4, output_padding 1 → 0)",
        "225, of which 29 are cut off again (196 without them)",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("text", "size", "part"),
    [
        ("Conv2d(1, 1, 3, stride=2)", "6x6", "Never read along H and W: 5 of 0 to 5. The division leaves 1 over"),
        (
            "Conv1d(1, 1, 2, stride=3)",
            "9",
            "Never read along W: 2, 5 and 8 of 0 to 8. No tap of any window falls there",
        ),
        ("Conv2d(1, 1, 3, stride=2, padding=1)", "7x7", "Along H and W every input element is read."),
        ("ConvTranspose1d(1, 1, 2, padding=3)", "8", "Input elements 0, 1, 6 and 7 have no effect"),
        ("ConvTranspose1d(1, 1, 1, stride=3, output_padding=2)", "4", "no stamp reaches there"),
        ("Conv2d(1, 1, 3, padding=1, padding_mode='reflect')", "5x5", "pad the input by 1 (reflect)"),
        ("Conv2d(4, 4, 3, groups=4)", "5x5", "depthwise, 4 groups: 1/4 of the 1,296 products"),
        ("Conv2d(1, 1, 3, dilation=2)", "5x5", "a window of 5×5 at the cost of 3×3 taps"),
        ("ConvTranspose2d(1, 1, 2, stride=2, dilation=2)", None, "some are never written, others 2·2 = 4 times: holes"),
    ],
)
def test_what_is_told_of_other_problems(conv, text, size, part):
    assert part in " ".join(text_of(conv.explained(text, size), 200).split())


def test_a_large_plane_is_cut_around_the_cell_and_says_so(conv):
    text = text_of(conv.explained("ConvTranspose2d(1, 1, 11, stride=2)", "64x64"), 80)
    assert "output (rows 62 to 73 of 137, columns" in text
    assert "[" in text


def test_the_marks_stand_without_colour(conv):
    text = text_of(conv.explained(), 80)
    assert "[99]" in text
    assert "(4)(5)" in text


def test_a_difference_from_torch_is_the_first_thing_on_the_page(conv):
    explanation = conv.explained()
    checks = (dataclasses.replace(explanation.checks[0], same=False), *explanation.checks[1:])
    text = text_of(dataclasses.replace(explanation, checks=checks), 110)
    assert "NOT the same: scatter" in text.splitlines()[1]


def test_outside_a_terminal_there_is_nothing_but_text(conv):
    out = io.StringIO()
    show(page(conv.explained(), 80), Console(file=out, width=80, force_terminal=False, no_color=True))
    assert "\x1b" not in out.getvalue()
    assert all(line == line.rstrip() for line in out.getvalue().splitlines())


def test_every_problem_can_be_shown_in_a_terminal():
    out = io.StringIO()
    explanation = explain_conv(parse_problem("Conv2d(1, 1, 3)", "5x5"))
    show(page(explanation, 80), Console(file=out, width=80, force_terminal=True, color_system="256"))
    assert "\x1b[1;38;5;208m" in out.getvalue()
    assert "\x1b[1;38;5;33m" in out.getvalue()
