"""Add up what the steps of a comparison showed: per stage the worst tensor and the verdict, overall the first difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from trainloop.compare.evidence import Evidence
from trainloop.compare.judge import Judged, floor_of
from trainloop.compare.key import STAGES, Key, Stage, title
from trainloop.compare.measure import equal_bits, largest
from trainloop.compare.record import Outputs, StepRecord
from trainloop.compare.verdict import First, StageReport, Word

RANK: dict[Word, int] = {"equal": 0, "equal_up_to_rounding": 1, "inconclusive": 2, "different": 3}


def unequal(record: StepRecord, outputs: Outputs) -> Iterator[tuple[Stage, Key, Tensor | None]]:
    """Yield each tensor of the candidate whose bits differ from the reference's, in the order of the step."""
    for stage in STAGES:
        theirs = outputs.get(stage)
        if theirs is None:
            continue
        tensors = record.outputs.get(stage, {})
        # A gradient depends on those of the layers behind it, so the last parameter comes first.
        for key in reversed(tensors) if stage == "backward" else tensors:
            reference = tensors[key]
            if key not in theirs:
                continue
            candidate = theirs[key]
            if stage == "zero_grad" and _alike_without_gradient(record, key, reference, candidate):
                continue
            if not equal_bits(reference, candidate):
                yield stage, key, candidate


def has_nan(tensors: Mapping[Key, Tensor | None]) -> Key | None:
    """Return the first tensor with a NaN."""
    for key, value in tensors.items():
        if value is not None and value.is_floating_point() and bool(value.isnan().any()):
            return key
    return None


def _alike_without_gradient(record: StepRecord, key: Key, one: Tensor | None, two: Tensor | None) -> bool:
    """Whether None stands against zeros, for a parameter that this step's backward gives a gradient.

    Where it gives none the difference matters: an optimizer passes over None, and moves what has a gradient of zero.
    """
    if (one is None) == (two is None) or record.outputs.get("backward", {}).get(key) is None:
        return False
    filled = two if one is None else one
    return filled is not None and not bool(filled.any())


@dataclass
class StageTally:
    """One stage so far.

    Args:
        stage: which one.
        word: the worst verdict of a tensor.
        tensors: how many were compared.
        same_bits: how many of them had the same bits.
        worst: the one with the most floors, with the record that it stands in.
        floor: of ``worst``; of the tensor with the largest relative floor while all bits agree.
    """

    stage: Stage
    word: Word = "equal"
    tensors: int = 0
    same_bits: int = 0
    worst: tuple[StepRecord, Judged] | None = None
    quiet: tuple[StepRecord, Key, float, float | None] | None = None
    inherits: str = ""

    def report(self) -> StageReport:
        """Return what the table shows."""
        if self.worst is None:
            record, key, floor, error = self.quiet or (None, None, 0.0, None)
            return StageReport(
                self.stage,
                self.word if self.tensors else "inconclusive",
                self.tensors,
                self.same_bits,
                worst=str(key) if key else "",
                step=record.step if record else 0,
                case=record.case if record else "",
                floor=floor,
                reference_error=error,
                candidate_error=error,
            )
        record, judged = self.worst
        gap = judged.difference
        return StageReport(
            self.stage,
            self.word,
            self.tensors,
            self.same_bits,
            worst=str(judged.key),
            index=gap.index,
            step=record.step,
            case=record.case,
            max_abs_err=gap.abs_err,
            max_rel_err=gap.rel_err,
            max_ulp=gap.ulp,
            floor=judged.floor,
            reference_error=judged.reference_error,
            candidate_error=judged.candidate_error,
            formula_error=judged.formula_error,
            inherits=self.inherits,
        )


@dataclass
class Tally:
    """All stages so far, and the first difference.

    Args:
        stages: those that are compared.
    """

    stages: tuple[Stage, ...]
    of: dict[Stage, StageTally] = field(init=False)
    first: First | None = None
    nan: str = ""
    hidden: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.of = {stage: StageTally(stage) for stage in self.stages}

    def count(self, record: StepRecord, outputs: Outputs, num_unequal: Mapping[Stage, int]) -> None:
        """Count the tensors of a step."""
        for stage in self.stages:
            common = record.outputs.get(stage, {}).keys() & outputs.get(stage, {}).keys()
            tally = self.of[stage]
            tally.tensors += len(common)
            tally.same_bits += len(common) - num_unequal.get(stage, 0)

    def add(self, record: StepRecord, judged: Judged) -> None:
        """Take note of a tensor whose bits differ."""
        tally = self.of[judged.stage]
        if RANK[judged.word] > RANK[tally.word]:
            tally.word = judged.word
        known = tally.worst[1] if tally.worst else None
        if known is None or _weight(judged) > _weight(known):
            tally.worst = (record, judged)
        if judged.hidden:
            self.hidden.add(f"{title(judged.stage)}: {judged.key}")
        # A difference on the run's own batches says more to a reader than one on a case made up to tell variants apart.
        own = record.case == "config"
        if judged.word == "different" and (self.first is None or (own and self.first.case != "config")):
            self.first = first_of(record, judged)
        if judged.word == "inconclusive" and not self.nan:
            self.nan = (
                f"step {record.step} · {title(judged.stage)} · {judged.key}: {judged.difference.problem or 'no number'}"
            )

    def show_floor(self, record: StepRecord, evidence: Evidence) -> None:
        """Note for each stage without a difference how much rounding there is, as evidence that the comparison could tell."""
        for stage in self.stages:
            if stage not in record.stages or (self.of[stage].quiet is not None and record.case != "config"):
                continue
            best: tuple[float, Key, float, float] | None = None
            for key, reference in record.outputs.get(stage, {}).items():
                scale = largest(reference) if reference is not None else 0.0
                if not scale:
                    continue
                floor = floor_of(record, stage, key, evidence)
                error = evidence.errors.get(stage, {}).get(key, math.inf)
                if best is None or floor / scale > best[0]:
                    best = (floor / scale, key, floor, error)
            if best is not None:
                error_or_none = best[3] if math.isfinite(best[3]) else None
                self.of[stage].quiet = (record, best[1], best[2], error_or_none)

    def reports(self) -> tuple[StageReport, ...]:
        """Return the table."""
        return tuple(self.of[stage].report() for stage in self.stages)


def _weight(judged: Judged) -> tuple[int, bool, float]:
    """Return what makes a tensor the worst: its verdict, that it was held against an oracle, how many floors it is off."""
    return RANK[judged.word], judged.reference_error is not None, judged.excess


def first_of(record: StepRecord, judged: Judged) -> First:
    """Return a difference with its place."""
    gap = judged.difference
    return First(
        record.case,
        record.step,
        judged.stage,
        str(judged.key),
        gap.index,
        gap.reference,
        gap.candidate,
        gap.abs_err,
        judged.floor,
        gap.problem,
    )


def worst_word(words: Mapping[Stage, Word]) -> Word:
    """Return the worst of the stages' verdicts."""
    return max(words.values(), key=RANK.__getitem__, default="equal")
