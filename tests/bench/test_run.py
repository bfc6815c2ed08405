"""Everything that was asked for; what was measured is kept."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.bench import run as module
from trainloop.bench.parse import parse_problem
from trainloop.bench.run import SECONDS_A_ROW, Listener, Settings, run
from trainloop.errors import InterruptedRunError, PluginError, UsageError
from trainloop.manual.conv import loops

PROBLEMS = ((parse_problem("n2 c3 o4 h5 k3"), "first"), (parse_problem("n2 c3 o4 h5 k1"), ""))


def settings(**changes):
    facts = {
        "problems": PROBLEMS,
        "directions": ("forward", "grad_input"),
        "algorithms": ("im2col",),
        "time_budget_s": 0.0,
    }
    return Settings(**{**facts, **changes})


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("import torch\n\n\ndef mine(*arguments):\n    return torch.conv2d(*arguments)\n", encoding="utf-8")
    return f"{path}:mine"


@pytest.mark.usefixtures("no_peaks")
def test_every_problem_and_direction_has_its_rows():
    report, interruption = run(settings(), Listener())
    assert interruption is None
    assert report.complete
    found = list(dict.fromkeys((row.problem, row.direction, row.layer) for row in report.rows))
    wanted = [
        (problem.text(), direction, layer) for problem, layer in PROBLEMS for direction in ("forward", "grad_input")
    ]
    assert found == wanted
    assert {row.algorithm for row in report.rows} == {"aten", "nnpack", "im2col"}
    assert {one.direction for one in report.summary} == {"forward", "grad_input"}


@pytest.mark.usefixtures("no_peaks")
def test_the_report_says_what_was_asked_for():
    report, _ = run(settings(problems=PROBLEMS[:1], seed=3), Listener())
    assert report.settings == {
        "problems": ["n2 c3 o4 h5 k3"],
        "directions": ["forward", "grad_input"],
        "algorithms": ["im2col"],
        "kernels": [],
        "layout": "channels_last",
        "dtype": "float32",
        "seed": 3,
        "time_budget_s": 0.0,
        "force": False,
    }
    assert report.machine["peaks"]["gemm_gflops"] == 100.0
    assert report.machine["keep_freed_memory"] is True


def test_without_a_budget_every_row_has_some_seconds():
    assert settings(time_budget_s=None).budget_s == 4 * SECONDS_A_ROW


@pytest.mark.usefixtures("no_peaks")
def test_a_listener_is_told_of_every_row():
    told = []
    listener = Listener(
        machine=lambda report: told.append(("machine", len(report.rows))),
        begins=lambda number, total, text: told.append((number, total, text)),
        ends=lambda report, rows: told.append((report.complete, len(report.rows), {row.problem for row in rows})),
    )
    run(settings(problems=PROBLEMS[:1]), listener)
    assert told == [
        ("machine", 0),
        (1, 2, "n2 c3 o4 h5 k3 forward"),
        (False, 4, {"n2 c3 o4 h5 k3"}),
        (2, 2, "n2 c3 o4 h5 k3 grad_input"),
        (True, 7, {"n2 c3 o4 h5 k3"}),
    ]


@pytest.mark.usefixtures("no_peaks")
def test_an_own_kernel_takes_part(kernel):
    report, _ = run(settings(kernels=(kernel,), problems=PROBLEMS[:1]), Listener())
    own = [row for row in report.rows if row.algorithm == "mine"]
    assert [(row.direction, row.ok) for row in own] == [("forward", True), ("grad_input", None)]
    assert own[1].reason == "own.py has no mine_grad_input"


def test_a_kernel_of_a_file_that_is_not_there_is_refused_before_anything_is_measured():
    with pytest.raises(PluginError, match="there is no such file"):
        run(settings(kernels=("nowhere.py:mine",)), Listener(machine=lambda _report: pytest.fail("too late")))


def test_a_kernel_is_for_one_kind_of_problem(kernel):
    both = (*PROBLEMS, (parse_problem("transpose n2 c3 o4 h5 k3"), ""))
    with pytest.raises(UsageError) as caught:
        run(settings(problems=both, kernels=(kernel,)), Listener())
    fault = caught.value.faults[0]
    assert (fault.where, fault.found, fault.expected) == (
        "--kernel",
        "problems of both kinds",
        "problems of one kind",
    )


def test_an_empty_batch_is_refused():
    with pytest.raises(UsageError) as caught:
        run(settings(problems=((parse_problem("n0 c3 o4 h5 k3"), ""),)), Listener())
    fault = caught.value.faults[0]
    assert (fault.what, fault.expected) == ("there is nothing to measure: the batch is empty", "n1 or more")


@pytest.mark.usefixtures("no_peaks")
def test_an_interruption_between_rows_keeps_the_rows():
    def begins(number, _total, _text):
        if number == 3:
            raise InterruptedRunError("interrupted by Ctrl-C")

    report, interruption = run(settings(), Listener(begins=begins))
    assert interruption.faults[0].what == "interrupted by Ctrl-C"
    assert {row.problem for row in report.rows} == {"n2 c3 o4 h5 k3"}
    assert not report.complete


@pytest.mark.usefixtures("no_peaks")
def test_an_interruption_within_a_row_keeps_what_there_is_and_ends(monkeypatch):
    original = module.measure

    def interrupted(task, everybody, *, budget_s):
        rows, _ = original(task, everybody, budget_s=budget_s)
        return rows, InterruptedRunError("interrupted by Ctrl-C")

    monkeypatch.setattr(module, "measure", interrupted)
    report, interruption = run(settings(), Listener())
    assert interruption is not None
    assert len({row.direction for row in report.rows}) == 1
    assert not report.complete


@pytest.mark.usefixtures("no_peaks")
def test_a_wrong_row_leaves_the_others(tmp_path):
    path = tmp_path / "zeros.py"
    path.write_text(
        "import torch\n\n\ndef zeros(*arguments):\n    return torch.conv2d(*arguments) * 0\n", encoding="utf-8"
    )
    report, _ = run(settings(kernels=(f"{path}:zeros",), directions=("forward",)), Listener())
    assert [row.algorithm for row in report.failures] == ["zeros", "zeros"]
    assert all(row.ok for row in report.rows if row.algorithm in ("aten", "im2col"))


def test_the_default_device_is_the_cpu():
    assert Settings(problems=PROBLEMS).device == torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"time_budget_s": 0.0}, 0.5),
        ({"time_budget_s": 40.0}, 2.0),
        ({"time_budget_s": 4e3}, 10.0),
        ({"force": True}, math.inf),
    ],
)
def test_loops_have_a_part_of_a_rows_budget_or_as_long_as_they_like(changes, limit):
    assert settings(**changes).loops_limit_s == limit


@pytest.mark.usefixtures("no_peaks")
def test_loops_that_are_too_slow_are_refused_and_can_be_forced(monkeypatch):
    monkeypatch.setattr(loops, "SECONDS_A_PRODUCT", 1.0)
    slow = {"problems": PROBLEMS[:1], "algorithms": ("loops",), "directions": ("forward",)}
    refused, forced = (run(settings(**slow, force=force), Listener())[0].rows[-1] for force in (False, True))
    assert (refused.algorithm, refused.ok) == ("loops", None)
    assert "--force" in refused.reason
    assert (forced.algorithm, forced.ok) == ("loops", True)
