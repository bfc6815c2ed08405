"""From what the steps showed to the verdict, and the sentence that says why."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from trainloop.compare.key import title
from trainloop.compare.run import Comparison
from trainloop.compare.tally import worst_word
from trainloop.compare.verdict import Cause, First, StageReport, Timing, Verdict, Word
from trainloop.compare.wording import counted, first_sentence
from trainloop.tolerance import ACCURACY_FACTOR

INHERITORS = {"loss": ("backward",)}
"""A stage cannot be freed of an earlier one's difference: the gradient begins with the candidate's own loss."""


def conclude(
    comparison: Comparison,
    *,
    cause: Cause | None = None,
    timing: Timing | None = None,
    seconds: float = 0.0,
    environment: dict[str, str] | None = None,
    reproduction: str = "",
) -> Verdict:
    """Return the verdict.

    Args:
        comparison: that has run.
        cause: what explains the first difference.
        timing: of both sides.
        seconds: it took.
        environment: versions and knobs.
        reproduction: folder of the script that shows the difference alone.
    """
    reports = _with_inheritance(comparison.tally.reports(), comparison.tally.first)
    word = overall(comparison)
    return Verdict(
        verdict=word,
        reason=reason(comparison, word, reports),
        reference=comparison.reference.title,
        candidate=comparison.candidate.title,
        exact=comparison.settings.exact,
        steps=comparison.steps,
        cases=tuple(comparison.cases),
        first=comparison.tally.first,
        cause=cause,
        stages=reports,
        remarks=_remarks(comparison, reports),
        free_run=comparison.free.result(),
        timing=timing,
        weights_sha256=comparison.weights_digest,
        seconds=seconds,
        environment=environment or {},
        reproduction=reproduction,
    )


def overall(comparison: Comparison) -> Word:
    """Return the verdict in one word; a failure before any difference leaves it open, and so does nothing to compare."""
    if comparison.tally.first is not None:
        return "different"
    if comparison.failure or comparison.tally.nan or not any(tally.tensors for tally in comparison.tally.of.values()):
        return "inconclusive"
    return worst_word({stage: tally.word for stage, tally in comparison.tally.of.items()})


def reason(comparison: Comparison, word: Word, reports: Sequence[StageReport]) -> str:
    """Return the verdict in one sentence."""
    if word == "different":
        assert comparison.tally.first is not None
        return first_sentence(comparison.tally.first)
    tensors = sum(report.tensors for report in reports)
    if word == "inconclusive":
        nan = f"no number to compare: {comparison.tally.nan}" if comparison.tally.nan else ""
        return comparison.failure or nan or "no stage had a tensor to compare"
    cases = f" and {counted(len(comparison.cases), 'discriminating case')}" if comparison.cases else ""
    over = f"over {counted(comparison.steps, 'step')}{cases}"
    if word == "equal":
        return f"every bit of {counted(tensors, 'tensor')} agrees, {over}"
    differing = tensors - sum(report.same_bits for report in reports)
    return (
        f"{differing:,} of {counted(tensors, 'tensor')} {'differs' if differing == 1 else 'differ'} {over}, "
        f"{'not' if differing == 1 else 'none'} by more than rounding explains{accuracy_clause(reports)}"
    )


def accuracy_clause(reports: Sequence[StageReport]) -> str:
    """Say which side errs more against float64, where it is worth a word."""
    found = [
        (report.candidate_error / report.reference_error, report)
        for report in reports
        if report.verdict == "equal_up_to_rounding" and report.reference_error and report.candidate_error
    ]
    if not found:
        return ""
    most = max(found, key=lambda pair: abs(math.log(pair[0])))
    ratio, report = most
    if ratio > ACCURACY_FACTOR:
        return f"; in stage {title(report.stage)} the candidate is {ratio:.2g} times less accurate ({report.worst})"
    if ratio < 1 / ACCURACY_FACTOR:
        return f"; in stage {title(report.stage)} the reference is {1 / ratio:.2g} times less accurate ({report.worst})"
    return ""


def _with_inheritance(reports: Sequence[StageReport], first: First | None) -> tuple[StageReport, ...]:
    followers = INHERITORS.get(first.stage, ()) if first is not None else ()
    return tuple(
        dataclasses.replace(report, inherits=first.stage)
        if first is not None and report.stage in followers and report.verdict == "different"
        else report
        for report in reports
    )


def _remarks(comparison: Comparison, reports: Sequence[StageReport]) -> tuple[str, ...]:
    remarks = list(comparison.remarks)
    if comparison.failure and comparison.tally.first is not None:
        remarks.append(f"the comparison ended early: {comparison.failure}")
    if comparison.free.failure:
        remarks.append(comparison.free.failure)
    if comparison.tally.hidden and comparison.tally.first is None:
        names = sorted(comparison.tally.hidden)
        remarks.append(
            "in float64 the two differ by more than rounding, though the floor hides it here: "
            f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        )
    empty = [title(report.stage) for report in reports if not report.tensors]
    if empty and not comparison.failure:
        remarks.append(f"nothing was there to compare in {', '.join(empty)}")
    return tuple(remarks)
