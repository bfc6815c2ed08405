"""What a check has found: plain numbers and words, for whatever shows, writes or judges them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One algorithm in one direction and type.

    Args:
        operator: conv2d or conv_transpose2d.
        algorithm: its name.
        direction: forward, grad_input or grad_weight.
        dtype: such as float32.
        cases: how many were tried; each job in two or three layouts.
        failed: how many of them failed.
        rel_err: the largest error of those that passed, ‖candidate − right‖ / ‖right‖.
        max_err: the largest error of an element, relative to the largest element; of those that passed.
        library_rel_err: the library's own rel_err in the case of ``rel_err``; NaN where it has none, and in float64, where the
            library is the oracle.
        allowed: what rel_err may be.
        worst: the job of ``rel_err``.
    """

    operator: str
    algorithm: str
    direction: str
    dtype: str
    cases: int
    failed: int
    rel_err: float
    max_err: float
    library_rel_err: float
    allowed: float
    worst: str


@dataclass(frozen=True)
class Failure:
    """One way in which an algorithm fails, in the smallest job in which it does.

    Args:
        operator: conv2d or conv_transpose2d.
        algorithm: its name.
        direction: of the case.
        dtype: of the case.
        layout: of the tensors, NCHW, channels_last or sliced.
        kind: what is wrong, in two words.
        job: the smallest job that fails so, in words that ``--problem`` takes.
        first_job: the job in which it was noticed.
        corner: the family of corner cases which that was from; empty for a drawn one.
        found: what came out.
        expected: what should have.
        rel_err: error in the 2-norm, relative; NaN where there is no result to measure.
        max_err: error of the worst element.
        library_rel_err: the library's own rel_err in this case.
        allowed: what rel_err may be.
        cases: in how many cases of this direction it fails in this way.
    """

    operator: str
    algorithm: str
    direction: str
    dtype: str
    layout: str
    kind: str
    job: str
    first_job: str
    corner: str
    found: str
    expected: str
    rel_err: float
    max_err: float
    library_rel_err: float
    allowed: float
    cases: int


@dataclass(frozen=True)
class Coverage:
    """How much of what there was an algorithm was tried with.

    Args:
        operator: conv2d or conv_transpose2d.
        algorithm: its name.
        corners: how many corner jobs it did.
        drawn: how many drawn jobs it did.
        refused: how many jobs it refused, of the corners and of those drawn on the way.
        reason: the first refusal, in its own words; empty if there was none.
        stopped: whether the time was up before all jobs had been tried.
        missing: the directions that it does not have.
        cases: how many were tried, of all directions and types.
        too_slow: how many jobs were left out because they would have taken too long at the algorithm's speed.
    """

    operator: str
    algorithm: str
    corners: int
    drawn: int
    refused: int
    reason: str
    stopped: bool
    missing: tuple[str, ...]
    cases: int
    too_slow: int = 0

    @property
    def nothing(self) -> bool:
        """Whether not one case was tried."""
        return self.cases == 0


@dataclass(frozen=True)
class Adjoint:
    """The identity ⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩ for a pair of algorithms, in float64.

    Args:
        convolution: name of the one.
        transposed: name of the other.
        jobs: how many both do.
        error: the largest difference of the two sides, relative to the sum of the absolute terms.
        allowed: what it may be.
        job: the smallest job in which it does not hold; empty if it holds in all.
        found: what is wrong there: the two sides, or what was raised.
    """

    convolution: str
    transposed: str
    jobs: int
    error: float
    allowed: float
    job: str
    found: str

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.job


@dataclass(frozen=True)
class CheckReport:
    """All that a check has found.

    Args:
        rows: of each algorithm, direction and type.
        failures: none if all is well.
        coverage: of each algorithm.
        adjoints: of each pair of a convolution and a transposed one.
        cases: how many drawn jobs were wanted of each algorithm.
        seed: of the drawn jobs and of all values.
        seconds: how long it took.
    """

    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    coverage: tuple[Coverage, ...]
    adjoints: tuple[Adjoint, ...]
    cases: int
    seed: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether each algorithm was tried at least once, no case failed, and the identity holds for all pairs."""
        checked = bool(self.coverage) and not any(one.nothing for one in self.coverage)
        return checked and not self.failures and all(pair.ok for pair in self.adjoints)
