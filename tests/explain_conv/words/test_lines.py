"""Lines: a formula is broken where it adds up, and nowhere else while it fits."""

from __future__ import annotations

import textwrap

import pytest

from trainloop.explain_conv.words.lines import wrapped

FORMULA = "H → (H − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = (5 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 10"
FLOOR = "W → ⌊(W + 2·p − d·(k − 1) − 1) / s⌋ + 1 = ⌊(64 + 2·3 − 2·(7 − 1) − 1) / 2⌋ + 1 = 29"


def broken_badly(lines):
    """Lines that end in a pair of round brackets or beside an operator that binds."""
    return [
        line
        for line in lines
        if line.count("(") != line.count(")")
        or line.endswith(("−", "·", "/", "+", "=", "→"))
        or line.startswith(("−", "·", "/"))
    ]


@pytest.mark.parametrize("formula", [FORMULA, FLOOR])
def test_a_formula_is_broken_before_what_is_added(formula):
    for width in range(34, 110):
        lines = wrapped(formula, width)
        assert broken_badly(lines) == []
        assert " ".join(lines) == formula
        assert max(map(len, lines)) <= width
        assert all(line.startswith(("+", "=", "→")) for line in lines[1:])


@pytest.mark.parametrize("formula", [FORMULA, FLOOR])
def test_plain_wrapping_would_be_noticed(formula):
    assert any(broken_badly(textwrap.wrap(formula, width)) for width in range(34, 110))


def test_what_is_wider_than_a_line_is_broken_all_the_same():
    for text in (FORMULA, "(drawn: 4 of 8 input channels and 4 of 8 output channels)"):
        for width in range(16, 34):
            lines = wrapped(text, width)
            assert " ".join(lines) == text
            assert max(map(len, lines)) <= width


def test_the_sizes_begin_a_line_with_the_dot():
    assert wrapped("ConvTranspose2d(1, 1, 3, stride=2, padding=1) · 3×3", 48) == [
        "ConvTranspose2d(1, 1, 3, stride=2, padding=1)",
        "· 3×3",
    ]


def test_long_prose_in_brackets_fills_the_lines():
    text = "spread the input (1 zero between neighbours, 1 around and 1 more at the end), and convolve it"
    assert wrapped(text, 60) == textwrap.wrap(text, 60)


def test_a_number_stays_with_what_it_is():
    for width in range(24, 60):
        for line in wrapped("output[0,0] = 11·12 + 13·14 + 652 (24 more products) + 4 (bias) = 968", width):
            assert not line.startswith("("), line


def test_lines_begin_with_what_they_are_told():
    assert wrapped("1 + 2 + 3", 8, "= ", "    ") == ["= 1 + 2", "    + 3"]
