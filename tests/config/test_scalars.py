from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainloop.config.scalars import plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E-3", 1e-3),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5", -0.5),
        ("+1.0", 1.0),
        ("1_000.5", 1000.5),
        ("1e400", math.inf),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1e22", 1e22),
    ],
)
def test_numbers_with_a_fraction(text: str, value: float) -> None:
    assert (plain_value(text), type(plain_value(text))) == (value, float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-3", -3),
        ("010", 10),
        ("08", 8),
        ("1_000", 1000),
        ("1e4", 10_000),
        ("1E5", 100_000),
        ("0x10", 16),
        ("0o10", 8),
    ],
)
def test_whole_numbers(text: str, value: int) -> None:
    assert (plain_value(text), type(plain_value(text))) == (value, int)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("false", False), ("FALSE", False)])
def test_only_true_and_false_are_booleans(text: str, value: bool) -> None:
    assert plain_value(text) is value


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null(text: str) -> None:
    assert plain_value(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("on", "off", "yes", "no", "y", "n", "Off", "NO", "None", "none", "inf", "nan"),
        *("1:30", "1:30:00", "2026-01-01", "2026-01-01 10:00:00", "1__0", "_1", "1_", "1e", "e3", ".", "-", "+"),
        *("0b1", "0xg", "1,5", "10%", "1.2.3", "١", "1 2", "9" * 5000),
    ],
)
def test_everything_else_is_text(text: str) -> None:
    assert plain_value(text) == text


def test_not_a_number_is_read_as_such() -> None:
    value = plain_value(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_shortest_text_of_a_float_reads_back_as_an_equal_number(value: float) -> None:
    assert plain_value(repr(value)) == value


@given(st.integers(-(10**40), 10**40))
def test_the_text_of_a_whole_number_reads_back_as_it(value: int) -> None:
    assert plain_value(str(value)) == value
