"""What is kept of one algorithm while it is checked: counts, its largest errors, and each way in which it fails."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trainloop.bench.check.examine import RAISED, Fault, Outcome, examine
from trainloop.bench.check.kernel import Kernel, allowed, missing, operator_of, refusal
from trainloop.bench.check.report import Coverage, Failure, Row
from trainloop.bench.check.shape import AnyJob
from trainloop.bench.check.shrink import shrink, smaller_cases
from trainloop.bench.check.trial import Case, Trial
from trainloop.bench.problem import Problem
from trainloop.bench.verify import dtype_name
from trainloop.manual.conv import DIRECTIONS


@dataclass
class _Sum:
    """Of the cases of one direction and type."""

    first: Case
    cases: int = 0
    failed: int = 0
    rel_err: float = 0.0
    max_err: float = 0.0
    library_err: float = math.nan
    worst: Case | None = None


@dataclass
class _Found:
    """One way to fail: where it was noticed, the smallest case, what came of it, and how often."""

    corner: str
    first: Case
    case: Case
    outcome: Outcome
    cases: int = 1


MOST_CASE_S = 2.0
"""what a case may take at the algorithm's best speed so far; a slow one is for small jobs"""


class Record:
    """Of one algorithm.

    Args:
        kernel: the algorithm.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.operator = operator_of(kernel)
        self.corners = 0
        self.drawn = 0
        self.refused = 0
        self.reason = ""
        self.stopped = False
        self.missing: tuple[str, ...] = tuple(one for one in DIRECTIONS if missing(kernel, one))
        self.spent_s = 0.0
        self.too_slow = 0
        self._best_s = 0.0  # seconds a multiplication, in the case that was done fastest
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._found: dict[tuple[str, str], _Found] = {}
        self._refusing: dict[str, Failure] = {}

    def count(self, corner: str, *, done: bool) -> None:
        """Count a job, of a family of corner cases or (without a name) drawn."""
        if not done:
            self.refused += 1
        elif corner:
            self.corners += 1
        else:
            self.drawn += 1

    def accepts(self, job: AnyJob) -> bool:
        """Return whether the algorithm does a job; keeps the first reason why not."""
        try:
            reason = refusal(self.kernel, job)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            self._raised_by_refuses(job, error)
            return False
        if reason is not None and not self.reason:
            self.reason = str(reason)
        return reason is None

    def is_too_slow(self, job: AnyJob) -> bool:
        """Return whether a case of a job would take too long, by the fastest so far; counts it if so."""
        slow = self._best_s * job.direct_multiplications > MOST_CASE_S
        self.too_slow += slow
        return slow

    def try_case(self, trial: Trial, corner: str) -> None:
        """Put the algorithm to a case, and keep what comes of it.

        Args:
            trial: operands and right results of the case.
            corner: the name of its family; empty for a drawn one.
        """
        started = time.perf_counter()
        outcome, case = examine(self.kernel, trial), trial.case
        total = self._sums.setdefault((case.direction, dtype_name(case.dtype)), _Sum(case))
        total.cases += 1
        if outcome.fault is None:
            _add(total, case, outcome)
        else:
            total.failed += 1
            self._fail(case, corner, outcome.fault)
        elapsed = time.perf_counter() - started
        self.spent_s += elapsed
        speed = elapsed / max(1, case.job.direct_multiplications)
        self._best_s = min(speed, self._best_s or math.inf)

    def rows(self) -> Iterator[Row]:
        """Yield a row for each direction and type that was tried."""
        for (direction, dtype), total in self._sums.items():
            yield Row(
                operator=self.operator,
                algorithm=self.kernel.name,
                direction=direction,
                dtype=dtype,
                cases=total.cases,
                failed=total.failed,
                rel_err=total.rel_err,
                max_err=total.max_err,
                library_rel_err=total.library_err,
                allowed=allowed(self.kernel, total.first.dtype),
                worst="" if total.worst is None else total.worst.text,
            )

    def failures(self) -> Iterator[Failure]:
        """Yield each way in which the algorithm fails."""
        yield from self._refusing.values()
        for (_, kind), found in self._found.items():
            yield self._failure(kind, found)

    def coverage(self) -> Coverage:
        """Return how much the algorithm was tried with."""
        counts = (self.corners, self.drawn, self.refused, self.reason, self.stopped, self.missing)
        return Coverage(
            self.operator, self.kernel.name, *counts, sum(one.cases for one in self._sums.values()), self.too_slow
        )

    def _fail(self, case: Case, corner: str, fault: Fault) -> None:
        """Count a failure; the first of its kind in its direction is made as small as it can be."""
        known = self._found.get((case.direction, fault.kind))
        if known is not None:
            known.cases += 1
            return

        def fails(candidate: Case) -> bool:
            outcome = self._outcome(candidate)
            return outcome is not None and fault.is_like(outcome.fault)

        small = shrink(case, smaller_cases, fails)
        outcome = self._outcome(small)
        if outcome is None or outcome.fault is None:  # it fails by fits and starts: what was seen once is the finding
            small, outcome = case, Outcome(fault, math.nan, math.nan, math.nan)
        self._found[case.direction, fault.kind] = _Found(corner, case, small, outcome)

    def _outcome(self, case: Case) -> Outcome | None:
        """Return what comes of a case, or None where the algorithm refuses it."""
        return examine(self.kernel, Trial(case)) if self.accepts(case.job) else None

    def _failure(self, kind: str, found: _Found) -> Failure:
        fault = found.outcome.fault
        assert fault is not None
        return Failure(
            operator=self.operator,
            algorithm=self.kernel.name,
            direction=found.case.direction,
            dtype=dtype_name(found.case.dtype),
            layout=found.case.layout,
            kind=kind,
            job=found.case.text,
            first_job=found.first.text,
            corner=found.corner,
            found=fault.found,
            expected=fault.expected,
            rel_err=found.outcome.rel_err,
            max_err=found.outcome.max_err,
            library_rel_err=found.outcome.library_err,
            allowed=allowed(self.kernel, found.case.dtype),
            cases=found.cases,
        )

    def _raised_by_refuses(self, job: AnyJob, error: Exception) -> None:
        kind, text = f"{RAISED} {type(error).__name__}", _text(job)
        known = self._refusing.get(kind)
        if known is not None:
            self._refusing[kind] = replace(known, cases=known.cases + 1)
            return
        self._refusing[kind] = Failure(
            operator=self.operator,
            algorithm=self.kernel.name,
            direction="refuses",
            dtype=dtype_name(job.dtype),
            layout="",
            kind=kind,
            job=text,
            first_job=text,
            corner="",
            found=str(error) or "no message",
            expected="a reason or None",
            rel_err=math.nan,
            max_err=math.nan,
            library_rel_err=math.nan,
            allowed=allowed(self.kernel, job.dtype),
            cases=1,
        )


def _add(total: _Sum, case: Case, outcome: Outcome) -> None:
    total.max_err = max(total.max_err, outcome.max_err)
    if total.worst is None or outcome.rel_err > total.rel_err:
        total.rel_err, total.library_err, total.worst = outcome.rel_err, outcome.library_err, case


def _text(job: AnyJob) -> str:
    return Problem.of(job).text()
