"""The self-test passes, and fails where the comparison is broken."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
from rich.console import Console

from trainloop.compare import run
from trainloop.compare.verdict import Cause
from trainloop.compare.wording import NO_CAUSE
from trainloop.compare.zoo import self_test as module
from trainloop.compare.zoo.clean import Clean
from trainloop.compare.zoo.fault import ANY, UNKNOWN
from trainloop.compare.zoo.faults import FAULTS
from trainloop.compare.zoo.self_test import (
    CleanRow,
    FaultRow,
    SelfTestReport,
    cause_right,
    print_self_test,
    run_clean,
    run_fault,
    self_test,
)

SGD_FAULT = next(fault for fault in FAULTS if fault.name == "sgd: the wrong sign")
KILLED = FaultRow("a", "step", True, True, True, True, "eps forgotten", True, "found", 0.1)
PASSED = CleanRow("b", "equal", "every bit", 0.1)


def printed(report):
    console = Console(file=io.StringIO(), width=160)
    print_self_test(report, console)
    return console.file.getvalue()


def test_the_short_form_passes():
    told = []
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    report = self_test(short=True, announce=told.append)
    assert report.passed, printed(report)
    assert len(report.clean) >= 20
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert told == [f"{len(report.faults)} seeded faults", f"{len(report.clean)} clean pairs"]


@pytest.mark.long
def test_the_full_form_passes():
    report = self_test()
    assert report.passed, printed(report)


def test_a_judge_that_calls_everything_rounding_is_found_out(monkeypatch):
    judge = run.judge

    def lenient(*args, **options):
        return dataclasses.replace(judge(*args, **options), word="equal_up_to_rounding")

    monkeypatch.setattr(run, "judge", lenient)
    monkeypatch.setattr(module, "SHORT", (SGD_FAULT,))
    monkeypatch.setattr(module, "clean_pairs", lambda: ())
    report = self_test(short=True)
    assert (report.kill_rate, report.passed) == (0.0, False)
    assert "sgd: the wrong sign" in printed(report)
    assert "not caught" in printed(report)


def test_a_clean_pair_that_is_none_counts_as_a_false_alarm():
    row = run_clean(Clean("dirty", SGD_FAULT.pair))
    assert row.verdict == "different"
    report = SelfTestReport((KILLED,), (row, PASSED), 1.0)
    assert (report.false_alarms, report.passed) == (1, False)
    assert "false alarm" in printed(report)


def test_a_fault_in_another_stage_or_tensor_is_not_killed():
    assert run_fault(SGD_FAULT).killed
    elsewhere = run_fault(dataclasses.replace(SGD_FAULT, stage="loss"))
    assert (elsewhere.caught, elsewhere.right_stage, elsewhere.killed) == (True, False, False)
    other = run_fault(dataclasses.replace(SGD_FAULT, tensor="head.weight"))
    assert (other.right_stage, other.right_tensor, other.killed) == (True, False, False)


def test_an_exception_is_a_failing_row():
    def broken(_module=None):
        raise ValueError("no such thing\nat all")

    fault = run_fault(dataclasses.replace(SGD_FAULT, make=broken))
    assert (fault.killed, fault.found) == (False, "ValueError: no such thing")
    clean = run_clean(Clean("broken", broken))
    assert (clean.passed, clean.verdict, clean.found) == (False, "error", "ValueError: no such thing")


@pytest.mark.parametrize(
    ("expected", "cause", "right"),
    [
        (ANY, None, None),
        (UNKNOWN, Cause(NO_CAUSE, 1.0), True),
        (UNKNOWN, Cause("eps forgotten", 0.0), False),
        (("eps forgotten",), Cause("eps forgotten", 0.0), True),
        (("eps forgotten",), Cause("lr missing", 0.0, also=("eps forgotten",)), True),
        (("eps forgotten",), Cause("lr missing", 0.0), False),
        (("eps forgotten",), None, False),
    ],
)
def test_which_cause_is_right(expected, cause, right):
    assert cause_right(expected, cause) is right


def test_naming_counts_updates_and_losses_only():
    wrong = dataclasses.replace(KILLED, cause_right=False)
    rows = (KILLED, wrong, dataclasses.replace(wrong, stage="forward"), dataclasses.replace(KILLED, cause_right=None))
    report = SelfTestReport(rows, (PASSED,), 1.0)
    assert (report.naming_rate, report.passed) == (0.5, False)
    assert "another cause named" in printed(report)


def test_a_report_without_failures_is_a_summary():
    report = SelfTestReport((KILLED,), (PASSED, CleanRow("c", "skipped", "no compiler", 0.0)), 61.0)
    assert report.passed
    assert printed(report).splitlines() == [
        "what failed  what is wrong with it  found",
        "c            skipped                no compiler",
        "",
        "seeded faults   1 of 1 caught at the right stage and tensor (1 are edits of the source)",
        "clean pairs     0 false alarms in 2, 1 of them skipped",
        "causes          100.00 % of those of updates and losses named right",
        "took            1 min 01 s",
        "self-test passed",
    ]
