"""Means and totals, by hand."""

from __future__ import annotations

import math

import pytest

from trainloop.bench.summary import summarise


def only(rows):
    (found,) = summarise(rows)
    return found


def test_the_geometric_mean_and_the_totals(a_row):
    rows = [
        a_row(problem="a", speedup=2.0, speedup_ci=(1.9, 2.1), gflop=1.0, median_ms=10.0),
        a_row(problem="b", speedup=0.5, speedup_ci=(0.4, 0.6), gflop=3.0, median_ms=30.0),
        a_row(problem="c", speedup=4.0, speedup_ci=(0.9, 5.0), gflop=4.0, median_ms=5.0),
    ]
    found = only(rows)
    assert found.geometric_mean == pytest.approx(math.prod([2.0, 0.5, 4.0]) ** (1 / 3))
    assert found.flop_weighted == pytest.approx(8.0 / (1.0 / 2 + 3.0 / 0.5 + 4.0 / 4))
    assert (found.total_ms, found.baseline_ms) == (45.0, 20.0 + 15.0 + 20.0)
    assert (found.rows, found.faster, found.slower) == (3, 1, 1)


def test_rows_without_a_time_are_counted_apart(a_row):
    nothing = {"speedup": None, "speedup_ci": None, "median_ms": None}
    found = only([a_row(), a_row(ok=False, **nothing), a_row(ok=None, **nothing), a_row(ok=None, **nothing)])
    assert (found.rows, found.failed, found.not_run) == (1, 1, 2)
    assert found.geometric_mean == pytest.approx(2.0)


def test_an_algorithm_that_did_nothing_has_no_mean(a_row):
    found = only([a_row(ok=None, speedup=None, speedup_ci=None, median_ms=None)])
    assert (found.geometric_mean, found.flop_weighted, found.total_ms) == (None, None, 0.0)


def test_one_sample_has_a_speedup_without_an_interval(a_row):
    found = only([a_row(speedup_ci=None)])
    assert (found.rows, found.faster, found.slower) == (1, 0, 0)


def test_algorithms_layouts_and_directions_are_apart_and_directions_in_the_order_of_a_step(a_row, a_builtin):
    rows = [
        a_row(direction="grad_weight"),
        a_builtin(layout="nchw"),
        a_builtin(),
        a_row(),
    ]
    assert [(one.direction, one.name) for one in summarise(rows)] == [
        ("forward", "aten nchw"),
        ("forward", "aten channels_last"),
        ("forward", "winograd"),
        ("grad_weight", "winograd"),
    ]


def test_no_rows_have_no_summary():
    assert summarise([]) == ()
