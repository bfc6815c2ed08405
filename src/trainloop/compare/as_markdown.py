"""A verdict as Markdown, for a pull request or a page of a CI run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from trainloop.compare.key import title
from trainloop.compare.screen import time_cells
from trainloop.compare.verdict import StageReport, Timing, Verdict
from trainloop.compare.wording import (
    NOT_COMPARED,
    WORDS,
    cause_text,
    command_to_see,
    first_values,
    free_run_text,
    loss_ends,
    number,
    oracle_text,
    same_bits,
    whole,
    worst_text,
)
from trainloop.report.format import duration

STAGE_COLUMNS = ("stage", ">same bits", ">max abs", ">relative", ">ulp", ">floor", "verdict", "worst at", "float64")
TIME_COLUMNS = ("stage", ">reference ms", ">candidate ms", ">ratio", ">interval")
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")
"""what Markdown may read as more than a character, amid a line"""


def as_markdown(verdict: Verdict) -> str:
    """Return the verdict as a headline, tables of stages and times, and a line each for cause, losses and remarks."""
    return "\n\n".join(_parts(verdict)) + "\n"


def _parts(verdict: Verdict) -> Iterator[str]:
    yield f"## compare-modes: {WORDS[verdict.verdict]}"
    yield f"**{escaped(verdict.reason)}**"
    if verdict.first is not None and (values := first_values(verdict.first)):
        yield escaped(values)
    if verdict.cause is not None:
        yield f"**cause:** {escaped(cause_text(verdict.cause))}"
    if verdict.reproduction:
        yield f"**to see it alone:** {escaped(command_to_see(verdict.reproduction))}"
    yield table(STAGE_COLUMNS, map(_stage_cells, verdict.stages))
    if verdict.timing is not None:
        yield _times(verdict.timing)
    yield from _losses(verdict)
    yield from (f"**note:** {escaped(remark)}" for remark in verdict.remarks)
    facts = {"reference": verdict.reference, "candidate": verdict.candidate, **verdict.environment}
    yield table(("side", "what"), ((name, escaped(value)) for name, value in facts.items()))
    yield f"compared in {duration(verdict.seconds)}"


def _stage_cells(report: StageReport) -> Sequence[str]:
    if not report.tensors:
        return (title(report.stage), *(5 * ["–"]), NOT_COMPARED, "", "")
    return (
        title(report.stage),
        same_bits(report),
        number(report.max_abs_err),
        number(report.max_rel_err),
        whole(report.max_ulp),
        number(report.floor),
        WORDS[report.verdict],
        escaped(worst_text(report)),
        escaped(oracle_text(report)),
    )


def _times(timing: Timing) -> str:
    rows = table(TIME_COLUMNS, map(time_cells, timing.stages))
    return f"{rows}\n\nmedians of {timing.rounds} steps of each side in turns; 95 % bootstrap intervals"


def _losses(verdict: Verdict) -> Iterator[str]:
    free = verdict.free_run
    if free.reference_losses:
        ends = f"reference {loss_ends(free.reference_losses)}, candidate {loss_ends(free.candidate_losses)}"
        yield f"**loss:** {ends}; {free_run_text(free)}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        columns: headings; one that begins with ``>`` is aligned right.
        rows: cells, already escaped.
    """
    heads = [column.removeprefix(">") for column in columns]
    rules = ["---:" if column.startswith(">") else "---" for column in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in a table too."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
