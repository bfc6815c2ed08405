"""What a report says in words."""

from __future__ import annotations

import pytest

from trainloop.bench.wording import facts, heading, headline, in_short, not_run, operations, problems, remarks, wrong

REFUSED = {"ok": None, "median_ms": None, "speedup": None, "speedup_ci": None}
WRONG = {**REFUSED, "ok": False}


def test_the_facts_of_machine_versions_peaks_and_settings(report):
    assert facts(report()) == {
        "machine": "cpu · A CPU · 2 threads · AVX2 · load 0.1 at the start",
        "versions": "torch 2.14.1 · oneDNN 3.12 · trainloop 0.1.0",
        "peaks": "product of matrices 50 GFLOP/s with one thread, 100 with 2 (float32) · copy 20 GB/s read and written",
        "measured": "float32 · channels_last, the built-ins in both layouts · calls in turns, with new operands each · "
        "freed memory kept in the process",
    }


def test_another_device_has_no_peak_of_one_thread(report):
    machine = report().machine
    other = {**machine, "peaks": {**machine["peaks"], "gemm_gflops_one_thread": None}, "load_average": None}
    found = facts(report(machine=other))
    assert found["peaks"].startswith("product of matrices 100 GFLOP/s (float32)")
    assert "load" not in found["machine"]


def test_one_thread_is_one(report):
    found = facts(report(machine={**report().machine, "threads": 1}))
    assert "· 1 thread ·" in found["machine"]
    assert found["peaks"].startswith("product of matrices 50 GFLOP/s with one thread (float32)")


@pytest.mark.parametrize(
    ("gflop", "text"),
    [(33.2, "33.2 GFLOP"), (1234.5, "1,234 GFLOP"), (0.302, "302 MFLOP"), (7.4e-5, "74 kFLOP"), (2e-9, "0.002 kFLOP")],
)
def test_operations_have_a_fitting_unit(gflop, text):
    assert operations(gflop) == text


def test_a_problem_is_headed_by_where_it_comes_from(a_row):
    assert heading([a_row()]) == "n2 c3 o4 h5 k3 · somewhere · 500 MFLOP"
    assert heading([a_row(layer="")]) == "n2 c3 o4 h5 k3 · 500 MFLOP"


def test_rows_are_grouped_by_problem(a_row):
    rows = [a_row(problem="a"), a_row(problem="a", direction="grad_input"), a_row(problem="b")]
    assert [len(group) for group in problems(rows)] == [2, 1]


def test_reasons_that_are_the_same_in_all_directions_are_told_once(a_row):
    rows = [
        a_row(direction=direction, algorithm="loops", reason="too long", **REFUSED)
        for direction in ("forward", "grad_input")
    ]
    assert not_run(rows) == ["not run  loops: too long"]
    assert not_run([*rows, a_row(direction="grad_weight")]) == ["not run  loops in forward, grad_input: too long"]
    assert wrong(rows) == []


def test_what_failed_is_told_with_its_direction(a_row):
    rows = [a_row(), a_row(algorithm="mine", reason="zeros", **WRONG), a_row(direction="grad_input")]
    assert wrong(rows) == ["FAIL  mine in forward: zeros"]
    assert not_run(rows) == []


def test_the_headline_is_the_geometric_means(report):
    assert headline(report()) == "winograd forward 2.00×; im2col forward 0.50× (measured in 12.0 s)"


def test_the_headline_of_a_failure_counts(report, wrong_row):
    assert headline(report(wrong_row)) == "FAIL: 1 of 5 rows are wrong (measured in 12.0 s)"


def test_the_headline_says_that_it_is_not_all(report):
    assert headline(report(complete=False)).endswith("(measured in 12.0 s, interrupted after 1 problems)")


def test_the_headline_of_built_ins_alone(report, a_builtin):
    assert (
        headline(report(rows=(a_builtin(),), summary=()))
        == "nothing but the built-ins was measured (measured in 12.0 s)"
    )


def test_a_busy_machine_is_remarked(report):
    assert remarks(report()) == []
    busy = report(machine={**report().machine, "load_average": 1.26})
    assert remarks(busy) == [
        "other programs were running (load 1.3): a kernel of 2 threads waits for the one that has no core, for milliseconds; "
        "believe the intervals, or measure again when nothing else runs"
    ]


def test_a_row_in_short(report, wrong_row):
    assert in_short(report(wrong_row).rows) == "aten channels_last 4.00 ms, winograd 2.00×, im2col 0.50×, FAIL cheat"
    assert in_short([]) == "nothing was run"
