from __future__ import annotations

import math

import pytest

from trainloop.explain.equation import Term, Text, call, compare, number

A, B, C = (Term.named(name, value) for name, value in (("a", 2.0), ("b", -3.0), ("c", 0.5)))


@pytest.mark.parametrize(
    ("term", "symbols", "numbers", "value"),
    [
        (A + B, "a + b", "2 − 3", -1.0),
        (A - B, "a − b", "2 − (-3)", 5.0),
        (A + (B + C), "a + (b + c)", "2 + (-3 + 0.5)", -0.5),
        (A - (C - B), "a − (c − b)", "2 − (0.5 − (-3))", -1.5),
        (A * B, "a·b", "2·(-3)", -6.0),
        (B * A, "b·a", "-3·2", -6.0),
        (A * (B + C), "a·(b + c)", "2·(-3 + 0.5)", -5.0),
        ((A + B) * C, "(a + b)·c", "(2 − 3)·0.5", -0.5),
        (A / C * B, "(a / c)·b", "(2 / 0.5)·(-3)", -12.0),
        (A * B / C, "a·b / c", "2·(-3) / 0.5", -12.0),
        (A / (B * C), "a / (b·c)", "2 / (-3·0.5)", 2 / -1.5),
        (-A, "−a", "-2", -2.0),
        (-(A * B), "−a·b", "−2·(-3)", 6.0),
        (C + -A * B, "c − a·b", "0.5 − 2·(-3)", 6.5),
        (A * -B, "a·(−b)", "2·3", 6.0),
        (Term.constant(1) * A, "a", "2", 2.0),
        (Term.constant(-1) * A, "−a", "-2", -2.0),
    ],
)
def test_a_term_is_read_as_it_is_computed(term, symbols, numbers, value):
    assert (term.symbols.text, term.numbers.text) == (symbols, numbers)
    assert term.value == value


def test_a_call_names_its_function():
    term = call("max", max, A, B)
    assert (term.symbols.text, term.numbers.text, term.value) == ("max(a, b)", "max(2, -3)", 2.0)


def test_a_comparison_is_a_yes_or_no():
    term = compare(">", lambda a, b: a > b)(A, B)
    assert (term.symbols.text, term.numbers.text, term.value) == ("a > b", "2 > -3", True)


def test_without_a_number_only_names_are_left():
    whole = Term.named("matrix", None)
    for term in (A + whole, whole * A, -whole, call("sqrt", math.sqrt, whole)):
        assert (term.numbers, term.value) == (None, None)
    assert (A + whole).symbols.text == "a + matrix"


@pytest.mark.parametrize(("a", "b", "quotient"), [(1.0, 0.0, math.inf), (-1.0, 0.0, -math.inf), (1.0, -0.0, -math.inf)])
def test_dividing_by_zero_gives_what_tensors_give(a, b, quotient):
    assert (Term.constant(a) / Term.constant(b)).value == quotient


def test_zero_by_zero_is_not_a_number():
    assert math.isnan((Term.constant(0.0) / Term.constant(0.0)).value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (1 / 3, "0.333333"), (1e-8, "1e-08"), (True, "yes"), (False, "no"), (3, "3")]
)
def test_a_number_has_at_most_six_digits(value, text):
    assert number(value) == text


def test_a_text_knows_its_minus():
    assert Text("−a").negative()
    assert Text("-1").negative()
    assert not Text("a − b").negative()
