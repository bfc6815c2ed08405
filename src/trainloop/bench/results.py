"""What was found: dataclasses that know nothing of how they are drawn; ``docs/benchmark-conv.md`` explains every key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def shown(algorithm: str, layout: str) -> str:
    """Return what tables call an algorithm: the library's, which is measured in both layouts, with its layout."""
    return f"{algorithm} {layout}" if algorithm == "aten" else algorithm


@dataclass(frozen=True)
class Row:
    """One way to compute one problem in one direction.

    Args:
        problem: in words.
        layer: where a suite's problem comes from.
        direction: forward, grad_input or grad_weight.
        algorithm: its name; ``aten`` and ``nnpack`` are the library's.
        layout: memory format of its tensors, channels_last or nchw.
        builtin: whether it is the library's.
        kernel: what really ran.
        ok: whether every result was right; None where it was not run.
        reason: what was wrong, or why it was not run.
        rel_err: relative error in the 2-norm against float64, of the worse of the checked calls.
        library_rel_err: the same of the library (``aten``) in this run's layout; None in float64, where it is the oracle.
        median_ms: of the timed calls; None where there is no time.
        iqr_ms: distance of the quartiles.
        num_samples: how many calls were timed.
        samples_ms: each of them, in the order in which they were made.
        first_call_ms: of the first call of all, with whatever was compiled for it.
        speedup: median of the better built-in divided by this median.
        speedup_ci: 95 % bootstrap interval of it; None for fewer than three samples.
        baseline: what tables call the better built-in of this problem and direction.
        gflop: direct operations, taps on padding counted: 2 · multiplications of the sum that defines the convolution / 10⁹.
        gflops_effective: gflop by the median; may exceed the peak.
        gflops_actual: what it says that it multiplies, by the median; None where it does not say.
        percent_of_peak: gflops_actual in percent of the measured product of matrices with as many threads.
        workspace_mib: memory beside arguments and result, as it says; None where it does not say.
    """

    problem: str
    layer: str
    direction: str
    algorithm: str
    layout: str
    builtin: bool
    kernel: str
    ok: bool | None
    reason: str = ""
    rel_err: float | None = None
    library_rel_err: float | None = None
    median_ms: float | None = None
    iqr_ms: float | None = None
    num_samples: int = 0
    samples_ms: Sequence[float] = ()
    first_call_ms: float | None = None
    speedup: float | None = None
    speedup_ci: tuple[float, float] | None = None
    baseline: str = ""
    gflop: float = 0.0
    gflops_effective: float | None = None
    gflops_actual: float | None = None
    percent_of_peak: float | None = None
    workspace_mib: float | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return shown(self.algorithm, self.layout)


@dataclass(frozen=True)
class Summary:
    """One algorithm in one direction, over all problems that it was timed for.

    Args:
        algorithm: as in the rows.
        layout: as in the rows.
        builtin: as in the rows.
        direction: as in the rows.
        geometric_mean: of ``speedup``.
        flop_weighted: speed-up over all their operations: Σ gflop / Σ (gflop / speedup).
        total_ms: sum of the medians.
        baseline_ms: the same of the better built-in of each row.
        rows: how many.
        faster: rows whose whole interval lies above 1.
        slower: rows whose whole interval lies below 1.
        failed: rows with a wrong result, which have no part in the numbers above.
        not_run: rows that it did not do.
    """

    algorithm: str
    layout: str
    builtin: bool
    direction: str
    geometric_mean: float | None
    flop_weighted: float | None
    total_ms: float
    baseline_ms: float
    rows: int
    faster: int
    slower: int
    failed: int
    not_run: int

    @property
    def name(self) -> str:
        """What tables call it."""
        return shown(self.algorithm, self.layout)


@dataclass(frozen=True)
class Report:
    """Everything that was measured.

    Args:
        machine: hardware, versions, threads, measured peaks.
        settings: what was asked for.
        rows: in the order in which they were measured.
        summary: over all rows, by algorithm and direction.
        complete: whether every row that was asked for is there.
        seconds: how long it took.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    rows: Sequence[Row] = field(default_factory=tuple)
    summary: Sequence[Summary] = field(default_factory=tuple)
    complete: bool = True
    seconds: float = 0.0

    @property
    def failures(self) -> list[Row]:
        """The rows with a wrong result."""
        return [row for row in self.rows if row.ok is False]
