"""The check as a whole: all registered algorithms are right; what it says of those that are not, or that do nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainloop.bench.check import check, record, run
from trainloop.bench.check.report import CheckReport
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, DIRECTIONS

ALGORITHMS = [*CONV2D.values(), *CONV_TRANSPOSE2D.values()]
NAMES = [*(f"conv2d {name}" for name in CONV2D), *(f"conv_transpose2d {name}" for name in CONV_TRANSPOSE2D)]
IM2COL = CONV2D["im2col"]
pytestmark = pytest.mark.usefixtures("few_corners")


def same(report):
    """Return a report without its time, as text (which takes NaN to be equal)."""
    return repr(dataclasses.replace(report, seconds=0.0))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=NAMES)
def test_a_registered_algorithm_is_right(algorithm):
    report = check([algorithm], cases=2)
    assert report.failures == ()
    assert report.ok
    assert {(row.direction, row.dtype) for row in report.rows} == {
        (direction, dtype) for direction in DIRECTIONS for dtype in ("float32", "float64")
    }
    assert all(0 <= row.rel_err <= row.allowed for row in report.rows)
    assert report.coverage[0].drawn == 2


def test_all_pairs_are_adjoint():
    report = check(ALGORITHMS, directions=["forward"], dtypes=[torch.float64], cases=0)
    assert {(pair.convolution, pair.transposed) for pair in report.adjoints} == {
        (one, other) for one in CONV2D for other in CONV_TRANSPOSE2D
    }
    assert all(pair.ok and pair.jobs > 0 and pair.error <= pair.allowed for pair in report.adjoints)


def test_the_same_seed_finds_the_same():
    broken = dataclasses.replace(IM2COL, name="broken", forward=lambda *given: IM2COL.forward(*given) + 1)
    settings = {"directions": ["forward"], "dtypes": [torch.float32], "cases": 3}
    one, other, third = (check([broken], seed=seed, **settings) for seed in (1, 1, 2))
    assert same(one) == same(other)
    assert same(one) != same(third)


def test_one_failure_does_not_hide_another():
    def forward(input, *others):
        if len(input) == 0:
            raise ZeroDivisionError("no images")
        return IM2COL.forward(input, *others).clamp(max=2.0)

    broken = dataclasses.replace(IM2COL, name="broken", forward=forward)
    report = check([broken, IM2COL], cases=0)
    assert {failure.kind for failure in report.failures} == {"wrong values", "raised ZeroDivisionError"}
    assert {failure.algorithm for failure in report.failures} == {"broken"}
    (raised,) = (failure for failure in report.failures if failure.kind.startswith("raised"))
    assert (raised.found, raised.corner) == ("no images", "an empty batch")
    assert all(row.failed == 0 for row in report.rows if row.direction != "forward" or row.algorithm == "im2col")


def test_the_error_stands_beside_the_librarys():
    report = check([IM2COL], directions=["forward"], cases=0)
    single, double = report.rows
    assert 0 < single.library_rel_err < single.allowed
    assert double.library_rel_err != double.library_rel_err  # NaN: in float64 the library is what is right
    assert single.worst


def test_an_algorithm_that_refuses_everything_has_not_passed():
    lazy = dataclasses.replace(IM2COL, name="lazy", refuses=lambda _job: "it is Sunday")
    report = check([lazy], cases=1)
    assert not report.ok
    assert (report.failures, report.rows) == ((), ())
    assert report.coverage[0].nothing
    assert report.coverage[0].reason == "it is Sunday"


def test_refusing_is_counted_and_does_not_use_up_the_drawn_jobs():
    odd = dataclasses.replace(IM2COL, name="odd", refuses=lambda job: None if job.kernel_size == (3, 3) else "only 3×3")
    report = check([odd], cases=5)
    assert report.ok
    (coverage,) = report.coverage
    assert coverage.drawn == 5
    assert coverage.refused > 5


def test_refuses_that_raises_is_a_failure():
    def refuses(job):
        raise LookupError(f"no table for {job.kernel_size[0]}")

    report = check([dataclasses.replace(IM2COL, name="broken", refuses=refuses)], cases=0)
    (failure,) = report.failures
    assert not report.ok
    assert (failure.direction, failure.kind, failure.found) == ("refuses", "raised LookupError", "no table for 3")
    assert failure.cases > 1


def test_any_object_with_the_functions_is_checked():
    class Mine:
        name = "mine"
        transposed = True
        forward = staticmethod(CONV_TRANSPOSE2D["scatter"].forward)
        grad_input = staticmethod(CONV_TRANSPOSE2D["scatter"].grad_input)
        grad_weight = staticmethod(CONV_TRANSPOSE2D["aten"].forward)

    report = check([Mine()], dtypes=[torch.float32], cases=0)
    assert {row.operator for row in report.rows} == {"conv_transpose2d"}
    assert {failure.direction for failure in report.failures} == {"grad_weight"}


def test_a_direction_that_is_missing_is_left_out():
    def absent(*_given):
        raise AssertionError("it must not be called")

    absent.missing = "the file has no f_grad_input"
    report = check([dataclasses.replace(IM2COL, name="mine", grad_input=absent)], dtypes=[torch.float32], cases=0)
    assert report.ok
    assert report.coverage[0].missing == ("grad_input",)
    assert {row.direction for row in report.rows} == {"forward", "grad_weight"}


def test_without_time_nothing_is_tried_and_nothing_passes():
    report = check(ALGORITHMS[:2], cases=1, budget_s=-1.0)
    assert all(one.stopped and one.nothing for one in report.coverage)
    assert not report.ok


def test_a_slow_algorithm_is_spared_large_jobs(monkeypatch):
    monkeypatch.setattr(record, "MOST_CASE_S", 0.0)
    report = check([IM2COL], directions=["forward"], dtypes=[torch.float32], cases=0)
    (coverage,) = report.coverage
    num_corners = len(list(run.corners("conv2d")))
    assert (coverage.corners, coverage.too_slow) == (
        2,
        num_corners - 2,
    )  # the first, and an empty batch, which takes none
    assert report.ok


def test_nothing_to_check_has_not_passed():
    assert not check([]).ok
    assert not CheckReport((), (), (), (), cases=0, seed=0, seconds=0.0).ok


def test_a_kernel_for_winograd_may_err_more():
    def rounded(*given):
        return IM2COL.forward(*given) * (1 + 1e-5)

    for name, ok in (("mine", False), ("my_winograd", True)):
        kernel = dataclasses.replace(IM2COL, name=name, forward=rounded)
        assert check([kernel], directions=["forward"], dtypes=[torch.float32], cases=0).ok == ok


def test_half_types_are_checked_where_an_algorithm_does_them():
    report = check([IM2COL, CONV2D["winograd"]], dtypes=[torch.bfloat16], cases=0)
    assert report.failures == ()
    assert {(row.algorithm, row.dtype) for row in report.rows} == {("im2col", "bfloat16")}


@pytest.mark.long
def test_all_algorithms_are_right_in_many_jobs(monkeypatch):
    monkeypatch.undo()  # all corner cases
    report = check(ALGORITHMS, cases=60)
    assert report.failures == ()
    assert report.ok
