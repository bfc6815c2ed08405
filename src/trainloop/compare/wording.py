"""Numbers and places as the reports of a comparison write them."""

from __future__ import annotations

import math

from trainloop.compare.verdict import Cause, StageReport, Word

NO_CAUSE = "none of the known deviations"
WORDS: dict[Word, str] = {
    "equal": "equal, bit for bit",
    "equal_up_to_rounding": "equal up to rounding",
    "different": "different",
    "inconclusive": "inconclusive",
}


def number(value: float | None) -> str:
    """Return a number with two significant digits; 0 as 0, None as a dash."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.1e}" if value else "0"


def place(tensor: str, index: tuple[int, ...]) -> str:
    """Return a tensor with the index of an element: ``layer3.0.conv1.weight[3,0,1,1]``."""
    return f"{tensor}[{','.join(map(str, index))}]" if index else tensor


def whole(value: int | None) -> str:
    """Return a count with separators; None as a dash, and what no longer fits as such."""
    if value is None:
        return "–"
    return f"{value:,}" if value < 10**9 else "> 10⁹"


def cause_text(cause: Cause) -> str:
    """Return what explains the difference, and how well."""
    if cause.name == NO_CAUSE:
        best = (
            f"; the nearest is {cause.runner_up} (residual {cause.runner_up_residual:.2f})" if cause.runner_up else ""
        )
        return f"none of the {cause.tried} known deviations of this stage explains it{best}"
    also = f"; not to be told apart here: {', '.join(cause.also)}" if cause.also else ""
    return f"{cause.name} (residual {cause.residual:.1e}, of {cause.tried} known deviations{also})"


def stage_note(report: StageReport) -> str:
    """Return what a row adds behind the name of its worst tensor."""
    notes = []
    if report.verdict != "equal" and report.tensors:
        notes.append(f"step {report.step}" if report.case == "config" else f"{report.case}, step {report.step}")
    if report.inherits:
        notes.append(f"follows from {report.inherits}")
    return f" ({', '.join(notes)})" if notes else ""
