"""The result of a comparison, in types. What is drawn from it (screen, JSON, Markdown, JUnit) computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trainloop.compare.key import Stage

Word = Literal["equal", "equal_up_to_rounding", "different", "inconclusive"]
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class First:
    """The first place where the two are different.

    Args:
        case: ``config`` for the run's own batches, or the name of a discriminating case.
        step: number of the step, 1 for the first.
        stage: of the step.
        tensor: which one.
        index: of the element that differs most.
        reference: its value there.
        candidate: likewise.
        abs_err: their difference.
        floor: what rounding explains.
        problem: what is wrong where there are no two numbers to compare; else empty.
    """

    case: str
    step: int
    stage: Stage
    tensor: str
    index: tuple[int, ...]
    reference: float
    candidate: float
    abs_err: float
    floor: float
    problem: str = ""


@dataclass(frozen=True)
class Cause:
    """The known deviation that explains a difference.

    Args:
        name: of the deviation, or ``none of the known deviations``.
        residual: what it leaves unexplained, as a share of the difference (0 is all explained, 1 nothing).
        tried: how many known deviations could act in this stage.
        also: others that explain it as well.
        runner_up: the best of the deviations that do not explain it.
        runner_up_residual: its residual.
        partial: it acts in some modules, and not in others of their kind.
    """

    name: str
    residual: float
    tried: int = 0
    also: tuple[str, ...] = ()
    runner_up: str = ""
    runner_up_residual: float = 1.0
    partial: bool = False


@dataclass(frozen=True)
class StageReport:
    """One stage over all steps.

    Args:
        stage: which one.
        verdict: of this stage alone.
        tensors: comparisons of one tensor in one step.
        same_bits: how many of them had the same bits.
        worst: the tensor with the largest difference against its floor.
        index: of the element of ``worst`` that differs most.
        step: of ``worst``.
        case: of ``worst``.
        max_abs_err: of ``worst``.
        max_rel_err: of ``worst``: absolute, divided by the largest absolute value of the tensor.
        max_ulp: of ``worst``, at ``index``; None where there is no common dtype.
        floor: what rounding explains of ``worst``: the largest of the reference's own error against float64, what harmless
            changes (threads, order of the batch, memory format) do to it, and one unit in the last place.
        reference_error: of the reference against the float64 oracle; None where there was none.
        candidate_error: likewise.
        formula_error: how far the two are apart when both compute in float64; None where the candidate cannot.
        inherits: an earlier stage whose difference this stage cannot be freed of; else empty.
    """

    stage: Stage
    verdict: Word
    tensors: int = 0
    same_bits: int = 0
    worst: str = ""
    index: tuple[int, ...] = ()
    step: int = 0
    case: str = ""
    max_abs_err: float = 0.0
    max_rel_err: float = 0.0
    max_ulp: int | None = 0
    floor: float = 0.0
    reference_error: float | None = None
    candidate_error: float | None = None
    formula_error: float | None = None
    inherits: str = ""


@dataclass(frozen=True)
class StageTime:
    """How long a stage takes on both sides, measured in turns.

    Args:
        stage: which one; ``whole step`` for all of them.
        reference_ms: median.
        candidate_ms: median.
        ratio: median of candidate ÷ reference.
        ratio_low: end of the 95 % bootstrap interval of that median.
        ratio_high: likewise.
    """

    stage: str
    reference_ms: float
    candidate_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True)
class Timing:
    """Times of both sides.

    Args:
        rounds: steps of each side.
        stages: one row each, and the whole step.
        reference_samples_ms: of the whole step.
        candidate_samples_ms: likewise.
    """

    rounds: int
    stages: tuple[StageTime, ...]
    reference_samples_ms: tuple[float, ...]
    candidate_samples_ms: tuple[float, ...]


@dataclass(frozen=True)
class FreeRun:
    """Both sides, each on its own way from the same start.

    Args:
        reference_losses: of each step.
        candidate_losses: likewise.
        weight_distances: after each step: the largest difference of a parameter, divided by the largest absolute value of
            this parameter; 0 where all bits agree.
    """

    reference_losses: tuple[float, ...] = ()
    candidate_losses: tuple[float, ...] = ()
    weight_distances: tuple[float, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Args:
        verdict: ``equal`` (every bit), ``equal_up_to_rounding``, ``different`` or ``inconclusive``.
        reason: the verdict in one sentence.
        reference: what was the reference.
        candidate: what was the candidate.
        exact: every bit was asked for.
        steps: how many steps of the config's own batches were compared.
        cases: names of the discriminating cases that were compared too.
        first: the first place where the two are different.
        cause: what explains it.
        stages: in the order of the step.
        remarks: what else was noticed.
        free_run: both sides on their own.
        timing: only if the comparison passed.
        weights_sha256: of the reference's weights after the last step.
        seconds: the comparison took.
        environment: versions, threads, device, knobs that matter.
        reproduction: the folder with a script that shows the difference alone; empty where there is none.
        schema_version: of the JSON form.
    """

    verdict: Word
    reason: str
    reference: str
    candidate: str
    exact: bool
    steps: int
    cases: tuple[str, ...]
    first: First | None
    cause: Cause | None
    stages: tuple[StageReport, ...]
    remarks: tuple[str, ...] = ()
    free_run: FreeRun = field(default_factory=FreeRun)
    timing: Timing | None = None
    weights_sha256: str = ""
    seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)
    reproduction: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def passed(self) -> bool:
        """Whether the two are the same: every bit, or up to rounding."""
        return self.verdict in ("equal", "equal_up_to_rounding")


EXIT_CODES: dict[Word, int] = {"equal": 0, "equal_up_to_rounding": 0, "different": 1, "inconclusive": 9}
