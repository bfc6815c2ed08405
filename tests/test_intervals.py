"""Bootstrap intervals of a statistic, and of the ratio of two medians."""

from __future__ import annotations

import statistics

import pytest

from trainloop.intervals import interval, interval_of_ratio

VALUES = [1.0, 1.1, 0.9, 1.05, 0.95, 3.0, 1.02]


def test_the_interval_is_around_the_statistic():
    low, high = interval(VALUES, statistics.median)
    assert low <= statistics.median(VALUES) <= high


def test_the_interval_stays_within_the_values():
    low, high = interval(VALUES, statistics.median)
    assert min(VALUES) <= low <= high <= max(VALUES)


def test_the_interval_is_the_same_every_time():
    assert interval(VALUES, statistics.median) == interval(VALUES, statistics.median)


def test_equal_values_have_an_interval_of_no_width():
    assert interval([2.0] * 5, statistics.median) == (2.0, 2.0)


def test_more_of_the_same_values_make_the_interval_narrower():
    few, many = interval(VALUES, statistics.fmean), interval(VALUES * 16, statistics.fmean)
    assert many[1] - many[0] < few[1] - few[0]


def test_the_interval_moves_with_the_values():
    low, high = interval(VALUES, statistics.median)
    moved = interval([value + 1 for value in VALUES], statistics.median)
    assert moved == pytest.approx((low + 1, high + 1))


def test_a_ratio_of_measurements_made_in_turns_knows_that_both_were_slow_together():
    slow_now_and_then = [1.0, 1.0, 5.0, 1.0, 7.0, 1.0, 6.0]
    assert interval_of_ratio([2 * value for value in slow_now_and_then], slow_now_and_then) == (2.0, 2.0)


def test_the_interval_of_a_ratio_is_around_the_ratio_of_the_medians():
    base = [0.5, 0.6, 0.55, 0.52, 0.58]
    low, high = interval_of_ratio(VALUES, base)
    assert low <= statistics.median(VALUES) / statistics.median(base) <= high


def test_the_interval_of_a_ratio_is_the_same_every_time():
    assert interval_of_ratio(VALUES, VALUES[:3]) == interval_of_ratio(VALUES, VALUES[:3])
