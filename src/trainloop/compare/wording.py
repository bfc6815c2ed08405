"""Numbers, places and sentences as the reports of a comparison write them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from trainloop.compare.key import title
from trainloop.compare.verdict import Cause, First, FreeRun, StageReport, Word

NO_CAUSE = "none of the known deviations"
CONFIG_CASE = "config"
WORDS: dict[Word, str] = {
    "equal": "equal, bit for bit",
    "equal_up_to_rounding": "equal up to rounding",
    "different": "different",
    "inconclusive": "inconclusive",
}
NOT_COMPARED = "not compared"
MAX_WRITTEN_OUT = 10**6
"""a distance in ulp that large says no more than its order of magnitude"""


def number(value: float | None) -> str:
    """Return a number with two significant digits; 0 as 0, None as a dash."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.1e}" if value else "0"


def whole(value: int | None) -> str:
    """Return a count with separators; None as a dash, and a huge one by its order of magnitude."""
    if value is None:
        return "–"
    return f"{value:,}" if value < MAX_WRITTEN_OUT else f"{value:.1e}"


def counted(value: int, noun: str) -> str:
    """Return a count with its noun: ``1 step``, ``1,200 steps``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def place(tensor: str, index: tuple[int, ...]) -> str:
    """Return a tensor with the index of an element: ``layer3.0.conv1.weight[3,0,1,1]``."""
    return f"{tensor}[{','.join(map(str, index))}]" if index else tensor


def same_bits(report: StageReport) -> str:
    """Return how many of a stage's tensors had the same bits: ``all 44``, ``368 of 464``."""
    if report.same_bits == report.tensors:
        return f"all {report.tensors:,}"
    return f"{report.same_bits:,} of {report.tensors:,}"


def first_sentence(first: First) -> str:
    """Return the first difference as ``step 2 · optimizer step · head.weight[3,0]: 7.1e-04 against a floor of 3.0e-08``."""
    where = f"step {first.step} · {title(first.stage)} · {place(first.tensor, first.index)}"
    case = "" if first.case == CONFIG_CASE else f" ({first.case})"
    if first.problem:
        return f"{where}: {first.problem}{case}"
    return f"{where}: {number(first.abs_err)} against a floor of {number(first.floor)}{case}"


def first_values(first: First) -> str:
    """Return both sides' numbers at the first difference; nothing where there are none to compare."""
    if first.problem:
        return ""
    return f"there the reference has {first.reference:.9g} and the candidate {first.candidate:.9g}"


def cause_text(cause: Cause) -> str:
    """Return what explains the difference, and how well."""
    if cause.name == NO_CAUSE:
        best = (
            f"; the nearest is {cause.runner_up} (residual {cause.runner_up_residual:.2f})" if cause.runner_up else ""
        )
        return f"none of the {cause.tried} known deviations of this stage explains it{best}"
    if not cause.tried:
        return cause.name
    also = f"; not to be told apart here: {', '.join(cause.also)}" if cause.also else ""
    partial = ", not in every such module" if cause.partial else ""
    return f"{cause.name}{partial} (residual {cause.residual:.1e}, of {cause.tried} known deviations{also})"


def command_to_see(folder: str) -> str:
    """Return the command that shows a difference alone, from the folder of its reproduction."""
    return f"python {shlex.quote(f'{folder}/reproduce.py')}"


def worst_text(report: StageReport) -> str:
    """Return where a stage differs most: ``head.weight[3,0], step 2``; nothing while every bit agrees."""
    if report.verdict == "equal" or not report.tensors:
        return ""
    when = f"step {report.step}" if report.case == CONFIG_CASE else f"{report.case}, step {report.step}"
    follows = f"; follows from the {report.inherits}" if report.inherits else ""
    return f"{place(report.worst, report.index)}, {when}{follows}"


def oracle_text(report: StageReport) -> str:
    """Return what float64 says about a stage's worst tensor; nothing while every bit agrees or without an oracle."""
    if report.verdict == "equal" or report.reference_error is None:
        return ""
    errors = (
        f"off float64 by {number(report.reference_error)} (reference), {number(report.candidate_error)} (candidate)"
    )
    if report.formula_error is None:
        return f"{errors}; the candidate does not compute in float64"
    apart = f"{number(report.formula_error)} apart" if report.formula_error else "equal"
    return f"{errors}; in float64 the two are {apart}"


def free_run_text(free: FreeRun) -> str:
    """Return how far the two go apart when each goes its own way."""
    apart = [(step, distance) for step, distance in enumerate(free.weight_distances, 1) if distance]
    if not apart:
        return "each on its own: the weights have the same bits after every step"
    (first_step, first), (last_step, last) = apart[0], apart[-1]
    then = f", after step {last_step} by {number(last)}" if last_step > first_step else ""
    return f"each on its own: after step {first_step} the weights differ by {number(first)} of the largest{then}"


def loss_ends(losses: Sequence[float]) -> str:
    """Return the first and the last loss."""
    return f"{losses[0]:.4f} → {losses[-1]:.4f}" if losses else "none"
