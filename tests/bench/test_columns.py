"""Cells and columns: numbers as people read them, and what a narrow screen leaves out."""

from __future__ import annotations

import pytest

from trainloop.bench.columns import ROWS, SUMMARY, between, error, lines, milliseconds, times, whole


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (milliseconds, 0.12345, "0.123"),
        (milliseconds, 1.2345, "1.23"),
        (milliseconds, 123.45, "123.5"),
        (milliseconds, None, "–"),
        (error, 4.24e-7, "4.2e-07"),
        (error, None, "–"),
        (times, 1.844, "1.84×"),
        (times, None, "–"),
        (between, (1.794, 1.905), "1.79–1.91"),
        (between, None, "–"),
        (whole, 0.424, "0.42"),
        (whole, 4.24, "4.2"),
        (whole, 1234.5, "1,234"),
        (whole, None, "–"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(function, value, text):
    assert function(value) == text


def test_a_wrong_row_says_fail_where_the_time_would_be(wrong_row):
    assert ROWS["median ms"].cell(wrong_row) == "FAIL"
    assert ROWS["speed-up"].cell(wrong_row) == "–"


def test_the_baseline_is_called_so(a_row, a_builtin):
    assert ROWS["95 %"].cell(a_builtin()) == "baseline"
    assert ROWS["95 %"].cell(a_row()) == "1.90–2.10"


def test_a_wide_screen_has_every_column(report):
    table, left_out = lines(ROWS, report().rows, 1_000)
    assert left_out == []
    assert all(name in table[0] for name in ROWS)
    assert len(table) == 1 + len(report().rows)


@pytest.mark.parametrize("width", [80, 100, 120, 140, 200])
def test_no_line_is_longer_than_the_screen(report, width):
    table, _ = lines(ROWS, report().rows, width)
    assert max(map(len, table)) <= width


def test_the_narrower_the_screen_the_fewer_columns_and_never_another_order(report):
    before = list(ROWS)
    for width in (200, 160, 140, 120, 100, 80, 10):
        _, left_out = lines(ROWS, report().rows, width)
        kept = [name for name in ROWS if name not in left_out]
        assert set(kept) <= set(before)
        before = kept
    assert before == ["direction", "algorithm", "median ms", "speed-up"]


def test_a_long_name_of_a_kernel_is_cut(a_row):
    rows = [a_row(kernel="brg_conv_bwd:avx512_core+brg_conv_fwd:avx512_core")]
    table, _ = lines(ROWS, rows, 110)
    assert table[1].endswith("…")
    assert "brg_conv_bwd" in table[1]


def test_words_stand_left_and_numbers_right(report):
    table, _ = lines(ROWS, report().rows, 1_000)
    place = table[0].index("median ms") + len("median ms")
    assert all(line[place - 1] not in " " for line in table)
    assert all(line.startswith("forward ") for line in table[1:])


def test_the_summary_is_a_table_of_the_same_kind(report):
    table, left_out = lines(SUMMARY, report().summary, 100)
    assert left_out == ["total ms", "better built-in's"]
    assert max(map(len, table)) <= 100
