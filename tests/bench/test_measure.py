"""Correct before fast: cheats are caught, each by name, and honest kernels get their times."""

from __future__ import annotations

import math
import statistics
import time

import pytest
import torch

from trainloop.bench import measure as module
from trainloop.bench.contestants import Contestant, contestants
from trainloop.bench.measure import FEW_ROUNDS, MIN_ROUNDS, measure
from trainloop.errors import InterruptedRunError
from trainloop.manual.conv import CONV2D, DIRECTIONS, Algorithm

HONEST = CONV2D["im2col"].forward


def failed(row):
    """Return what was wrong with a row, which must have no time."""
    assert row.ok is False
    assert (row.median_ms, row.speedup, row.gflops_effective, row.samples_ms) == (None, None, None, ())
    return row.reason


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_honest_kernel_is_timed(measured, cheat, direction):
    row = measured(cheat(), direction)
    assert row.ok is True, row.reason
    assert row.num_samples == len(row.samples_ms) >= FEW_ROUNDS
    assert row.median_ms == statistics.median(row.samples_ms) > 0
    assert 0 < row.rel_err < 1e-6
    assert 0 < row.library_rel_err < 1e-6


def test_zeros_fail(measured, cheat):
    row = measured(cheat(forward=lambda *arguments: torch.zeros_like(HONEST(*arguments))))
    assert failed(row) == "relative error 1.0e+00, at most 2e-05 is allowed, all elements are 0"
    assert row.rel_err == pytest.approx(1)


def test_a_result_kept_from_the_first_call_fails(measured, cheat):
    kept = []

    def forward(*arguments):
        kept.append(HONEST(*arguments)) if not kept else None
        return kept[0].clone()

    reason = failed(measured(cheat(forward=forward)))
    assert reason.startswith("relative error 1.")
    assert reason.endswith("at most 2e-05 is allowed: it is the result of the call before, with other values")


def test_results_kept_by_what_the_operands_look_like_fail_when_they_are_timed(measured, cheat):
    kept = {}

    def forward(input, weight, *rest):
        key = bool(input[0, 0, 0, 0].abs() > input[0, 0, 0, 1].abs())
        if key not in kept:
            kept[key] = HONEST(input, weight, *rest)
        return kept[key].clone()

    reason = failed(measured(cheat(forward=forward)))
    assert "relative error" in reason


def test_work_on_the_weight_kept_by_its_address_fails(measured, cheat):
    kept = {}

    def forward(input, weight, *rest):
        return HONEST(input, kept.setdefault(weight.data_ptr(), weight.clone()), *rest)

    assert "relative error" in failed(measured(cheat(forward=forward)))


def test_a_kernel_that_is_right_until_it_is_timed_fails_at_that_call(measured, cheat):
    calls = []

    def forward(*arguments):
        calls.append(1)
        return HONEST(*arguments) if len(calls) < 4 else torch.zeros_like(HONEST(*arguments))

    assert failed(measured(cheat(forward=forward))) == (
        "right at first, but not in timed call 2 with new values: relative error 1.0e+00, at most 2e-05 is allowed, "
        "all elements are 0"
    )


def test_a_changed_operand_fails(measured, cheat):
    def forward(input, *rest):
        result = HONEST(input, *rest)
        input[0, 0, 0, 0] += 1
        return result

    assert failed(measured(cheat(forward=forward))) == "it changed its input, which belongs to the caller"


def test_a_result_that_the_next_call_overwrites_fails(measured, cheat):
    memory = []

    def forward(*arguments):
        result = HONEST(*arguments)
        memory.append(result) if not memory else memory[0].copy_(result)
        return memory[0]

    assert failed(measured(cheat(forward=forward))) == "its second call overwrote what its first one had returned"


def test_a_nan_fails(measured, cheat):
    def forward(*arguments):
        result = HONEST(*arguments)
        result[-1, -1, -1, -1] = math.nan
        return result

    assert failed(measured(cheat(forward=forward))) == "1 of 200 elements are NaN or infinite"


def test_memory_that_nobody_wrote_is_not_right_by_chance(measured, cheat):
    def forward(input, weight, *rest):
        result = HONEST(input, weight, *rest)
        trusted = torch.empty_like(result)  # whoever takes this for zeros
        return torch.where(trusted.isnan(), trusted, result)

    assert "NaN" in failed(measured(cheat(forward=forward)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda result: result.double(), "it returned float64, expected float32"),
        (lambda result: result[:1], "it returned the shape (1, 4, 5, 5), expected (2, 4, 5, 5)"),
        (lambda result: result.to("meta"), "it returned a tensor on meta, expected cpu"),
        (lambda result: (result, None), "it returned a tuple instead of a tensor"),
    ],
)
def test_another_kind_of_result_fails(measured, cheat, change, reason):
    assert failed(measured(cheat(forward=lambda *arguments: change(HONEST(*arguments))))).startswith(reason)


@pytest.mark.parametrize("error", [ValueError("no luck\nand more"), SystemExit(3), RuntimeError()])
def test_an_exception_fails_and_is_told(measured, cheat, error):
    def forward(*_arguments):
        raise error

    told = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
    assert failed(measured(cheat(forward=forward))) == f"it raised {told}"


def test_an_exception_in_a_timed_call_is_told_with_its_number(measured, cheat):
    calls = []

    def forward(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise ArithmeticError("tired")
        return HONEST(*arguments)

    assert failed(measured(cheat(forward=forward))) == "in timed call 2 it raised ArithmeticError: tired"


def test_a_refusal_is_no_failure(measured, cheat):
    honest = cheat()
    refusing = Algorithm(
        "cheat",
        honest.forward,
        honest.grad_input,
        honest.grad_weight,
        honest.workspace,
        refuses=lambda _job: "not today",
    )
    row = measured(refusing)
    assert (row.ok, row.reason, row.samples_ms) == (None, "not today", ())


def test_a_slow_kernel_has_few_rounds(measured, cheat, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    monkeypatch.setattr(module, "SLOW", 1.0)  # on a busy machine the library is slow, too

    def forward(*arguments):
        time.sleep(0.2)
        return HONEST(*arguments)

    row = measured(cheat(forward=forward))
    assert 1 <= row.num_samples <= FEW_ROUNDS
    assert row.speedup < 1


def everybody(task, layout="channels_last", names=None):
    return contestants(task.job, task.direction, layout=layout, names=names)


def test_everybody_has_a_row_in_order_and_the_better_built_in_has_speedup_one(task):
    asked = task()
    rows, _ = measure(asked, everybody(asked), budget_s=0.0)
    assert [row.name for row in rows[:3]] == ["aten channels_last", "aten nchw", "nnpack"]
    builtins = [row for row in rows if row.builtin and row.ok]
    best = min(builtins, key=lambda row: row.median_ms)
    assert {row.baseline for row in rows if row.median_ms is not None} == {best.name}
    assert best.speedup == 1.0
    assert all(row.speedup == pytest.approx(best.median_ms / row.median_ms) for row in rows if row.median_ms)


def test_a_row_has_its_operations_and_what_they_come_to(task):
    asked = task()
    rows, _ = measure(asked, everybody(asked, names=["winograd"]), budget_s=0.0)
    aten, winograd = rows[0], rows[-1]
    multiplications = 2 * 4 * 5 * 5 * 3 * 9
    assert aten.gflop == winograd.gflop == 2e-9 * multiplications
    assert [aten.gflops_effective, aten.gflops_actual] == pytest.approx([1e3 * aten.gflop / aten.median_ms] * 2)
    actual = 2e-6 * CONV2D["winograd"].multiplications(asked.job, "forward") / winograd.median_ms
    assert winograd.gflops_actual == pytest.approx(actual)
    assert winograd.percent_of_peak == pytest.approx(actual)
    assert winograd.workspace_mib == CONV2D["winograd"].workspace(asked.job, "forward") / 2**20
    assert (aten.workspace_mib, aten.layer) == (None, "somewhere")


def test_quartiles_and_intervals_belong_to_the_samples(task):
    asked = task()
    rows, _ = measure(asked, everybody(asked, names=[]), budget_s=0.0)
    for row in rows:
        if row.ok:
            low, high = row.speedup_ci
            assert low <= row.speedup <= high
            assert 0 <= row.iqr_ms <= max(row.samples_ms) - min(row.samples_ms)
            assert row.num_samples == MIN_ROUNDS


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "text", ["n2 c4 o6 h5 w4 k3 l2 s2x1 p1 d1x2 g2 bias", "transpose n2 c4 o6 h5 k3 s2 p1 op1 g2 bias"]
)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_every_algorithm_is_right_in_every_direction(task, text, direction, layout):
    asked = task(text, direction, layout=layout)
    rows, _ = measure(asked, everybody(asked, layout), budget_s=0.0)
    assert [row.reason for row in rows if row.ok is False] == []
    assert {row.layout for row in rows if not row.builtin} <= {layout}


def test_in_float64_the_library_is_the_oracle(task):
    asked = task(dtype=torch.float64)
    rows, _ = measure(asked, everybody(asked), budget_s=0.0)
    assert [row.reason for row in rows if row.ok is False] == []
    assert {row.library_rel_err for row in rows} == {None}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_measured_where_they_are_supported(task, dtype):
    asked = task("n2 c16 o16 h6 k3 p1", dtype=dtype)
    rows, _ = measure(asked, everybody(asked), budget_s=0.0)
    assert [row.reason for row in rows if row.ok is False] == []
    assert rows[0].ok


def test_a_problem_that_does_not_fit_into_memory_is_not_begun(task):
    asked = task("n900000 c512 o512 h64 k3 p1")
    rows, _ = measure(asked, everybody(asked), budget_s=0.0)
    assert {row.ok for row in rows} == {None}
    assert all(row.reason.startswith("it needs about ") for row in rows)


def test_an_interruption_keeps_the_samples_that_there_are(task, cheat):
    calls = []

    def forward(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise InterruptedRunError("interrupted by Ctrl-C")
        return HONEST(*arguments)

    asked = task()
    own = Contestant("cheat", "nchw", cheat(forward=forward))
    rows, interruption = measure(asked, [*everybody(asked, names=[]), own], budget_s=0.0)
    assert interruption.faults[0].what == "interrupted by Ctrl-C"
    assert rows[-1].num_samples == 2
    assert rows[0].median_ms is not None


def test_the_order_rotates(task, monkeypatch):
    order = []
    original = module.time_call
    monkeypatch.setattr(
        module, "time_call", lambda entry, *rest: (order.append(entry.contestant.layout), original(entry, *rest))
    )
    asked = task(direction="grad_weight")
    measure(asked, everybody(asked, names=[])[:2], budget_s=0.0)
    assert order == [*("channels_last", "nchw"), *("nchw", "channels_last")] * 2 + ["channels_last", "nchw"]
