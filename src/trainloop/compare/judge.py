"""Is a difference rounding? Each tensor is judged by measured errors, not by a tolerance that somebody chose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.compare.evidence import Evidence
from trainloop.compare.key import Key, Stage
from trainloop.compare.measure import Difference, difference, largest, largest_gap
from trainloop.compare.record import StepRecord
from trainloop.compare.verdict import Word
from trainloop.tolerance import FORMULA_SHRINK, ROUNDING_FACTOR


@dataclass(frozen=True)
class Judged:
    """One tensor of one step whose bits differ, with the verdict.

    Args:
        stage: of the step.
        key: the tensor.
        word: the verdict.
        difference: between the two sides.
        floor: what rounding explains.
        reference_error: of the reference against the oracle; None without one.
        candidate_error: likewise.
        formula_error: between the two sides in float64; None where the candidate cannot.
        hidden: in float64 the two differ by more than rounding, though the floor in the dtype of the run hides it.
    """

    stage: Stage
    key: Key
    word: Word
    difference: Difference
    floor: float
    reference_error: float | None = None
    candidate_error: float | None = None
    formula_error: float | None = None
    hidden: bool = False

    @property
    def excess(self) -> float:
        """Return how many floors the difference is."""
        if not self.difference.abs_err:
            return 0.0
        return self.difference.abs_err / self.floor if self.floor else math.inf


def floor_of(record: StepRecord, stage: Stage, key: Key, evidence: Evidence | None) -> float:
    """Return what rounding explains: the reference's own error, the noise, or one unit in the last place, whatever is most."""
    reference = record.outputs[stage].get(key)
    if reference is None:
        return 0.0
    dtype = reference.dtype if reference.is_floating_point() else torch.float32
    floor = torch.finfo(dtype).eps * largest(reference)
    if evidence is None:
        return floor
    error = evidence.errors.get(stage, {}).get(key, 0.0)
    noise = evidence.noise.get(stage, {}).get(key, 0.0)
    return max([floor, *(value for value in (error, noise) if math.isfinite(value))])


def judge(
    record: StepRecord, stage: Stage, key: Key, candidate: Tensor | None, evidence: Evidence | None, *, exact: bool
) -> Judged:
    """Judge a tensor whose bits differ.

    Args:
        record: of the reference.
        stage: of the step.
        key: the tensor.
        candidate: its values on the candidate's side.
        evidence: None where any difference counts.
        exact: every difference counts.
    """
    reference = record.outputs[stage].get(key)
    found = difference(reference, candidate)
    floor = floor_of(record, stage, key, evidence)
    if found.is_nan_on_both_sides:
        return Judged(stage, key, "inconclusive", found, floor)
    if exact or found.problem:
        return Judged(stage, key, "different", found, floor)
    assert evidence is not None
    oracle = evidence.oracle.get(stage, {}).get(key)
    reference_error, candidate_error = largest_gap(reference, oracle), largest_gap(candidate, oracle)
    if not math.isfinite(reference_error):
        return Judged(stage, key, "inconclusive", found, floor, reference_error, candidate_error)
    twin = evidence.twin.get(stage, {}).get(key)
    if twin is None:
        word: Word = "different" if candidate_error > ROUNDING_FACTOR * floor else "equal_up_to_rounding"
        return Judged(stage, key, word, found, floor, reference_error, candidate_error)
    formula_error = largest_gap(oracle, twin)
    is_rounding = formula_error <= FORMULA_SHRINK * max(found.abs_err, floor)
    # A twin that stands elsewhere than its candidate shows a difference that the candidate itself has not.
    visible = formula_error > ROUNDING_FACTOR * floor and found.abs_err > floor
    word = "different" if visible and not is_rounding else "equal_up_to_rounding"
    hidden = word != "different" and not is_rounding
    return Judged(stage, key, word, found, floor, reference_error, candidate_error, formula_error, hidden)
