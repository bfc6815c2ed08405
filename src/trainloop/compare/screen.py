"""How a verdict looks: styled in a terminal, plain text elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trainloop.compare.key import STAGES, title
from trainloop.compare.verdict import FreeRun, StageReport, StageTime, Timing, Verdict, Word
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
from trainloop.report.format import bars, duration

STYLES: dict[Word, str] = {
    "equal": "bold green",
    "equal_up_to_rounding": "bold green",
    "different": "bold red",
    "inconclusive": "bold yellow",
}
UNFOLDED_WIDTH = 1_000
"""for a file, where a line may be as long as it likes and is found by searching"""
ALL_COLUMNS_WIDTH = 92
"""below this the table of stages leaves out the relative difference"""


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the table of stages, the losses and the times, and at the end, where the eye rests, the verdict."""
    if not console.is_terminal:
        console.print(Text(as_text(verdict)), soft_wrap=True)
        return
    for part in _page(verdict, console.width):
        console.print(part)


def as_text(verdict: Verdict) -> str:
    """Return what :func:`print_verdict` prints outside of a terminal."""
    stream = io.StringIO()
    console = Console(file=stream, width=UNFOLDED_WIDTH, force_terminal=False, color_system=None, highlight=False)
    for part in _page(verdict, UNFOLDED_WIDTH):
        console.print(part)
    # A table fills its lines with spaces, which nobody wants in a file.
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _page(verdict: Verdict, width: int) -> Iterator[RenderableType]:
    yield _facts({"reference": verdict.reference, "candidate": verdict.candidate, **verdict.environment})
    yield Text()
    yield stage_table(verdict.stages, width)
    yield from _evidence(verdict.stages)
    yield from _losses(verdict.free_run)
    if verdict.timing is not None:
        yield Text()
        yield time_table(verdict.timing)
        yield Text(f"medians of {verdict.timing.rounds} steps of each side in turns; 95 % bootstrap intervals", "dim")
    yield Text()
    yield Text(f"compared in {duration(verdict.seconds)}", "dim")
    for remark in verdict.remarks:
        yield Text.assemble(("note  ", "cyan"), remark)
    yield Text()
    yield headline(verdict)
    if verdict.first is not None and (values := first_values(verdict.first)):
        yield Text(values)
    if verdict.cause is not None:
        yield Text.assemble(("cause  ", "bold"), cause_text(verdict.cause))
    if verdict.reproduction:
        yield Text.assemble(("to see it alone  ", "bold"), command_to_see(verdict.reproduction))


def headline(verdict: Verdict) -> Text:
    """Return the verdict line."""
    reason = (verdict.reason, "" if verdict.passed else "bold")
    return Text.assemble((WORDS[verdict.verdict].upper(), STYLES[verdict.verdict]), ": ", reason)


def stage_table(reports: Sequence[StageReport], width: int = UNFOLDED_WIDTH) -> Table:
    """Return a row for each stage.

    Args:
        reports: of the stages.
        width: columns of the screen.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = ["stage", "same bits", "max abs", "relative", "ulp", "floor", "verdict"]
    shown = [name for name in names if name != "relative" or width >= ALL_COLUMNS_WIDTH]
    for name in shown:
        table.add_column(name, justify="left" if name in ("stage", "verdict") else "right", no_wrap=name != "verdict")
    for report in reports:
        cells = dict(zip(names, stage_cells(report), strict=True))
        table.add_row(*(cells[name] for name in shown))
    return table


def stage_cells(report: StageReport) -> tuple[str | Text, ...]:
    """Return the cells of a stage's row."""
    if not report.tensors:
        return (title(report.stage), "–", "–", "–", "–", "–", Text(NOT_COMPARED, "dim"))
    return (
        title(report.stage),
        same_bits(report),
        number(report.max_abs_err),
        number(report.max_rel_err),
        whole(report.max_ulp),
        number(report.floor),
        Text(WORDS[report.verdict], STYLES[report.verdict]),
    )


def _evidence(reports: Sequence[StageReport]) -> Iterator[RenderableType]:
    """Yield, for stages whose bits differ, where they differ most and what float64 says about it."""
    differing = [report for report in reports if worst_text(report)]
    if not differing:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for report in differing:
        table.add_row(title(report.stage), f"worst at {worst_text(report)}")
        if oracle := oracle_text(report):
            table.add_row("", Text(oracle, "dim"))
    yield Text()
    yield table


def time_table(timing: Timing) -> Table:
    """Return a row for each stage's time."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("stage", "reference ms", "candidate ms", "ratio", "interval"):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for row in timing.stages:
        table.add_row(*time_cells(row))
    return table


def time_cells(row: StageTime) -> tuple[str, ...]:
    """Return the cells of a stage's time."""
    return (
        next((title(stage) for stage in STAGES if stage == row.stage), row.stage),
        f"{row.reference_ms:.3f}",
        f"{row.candidate_ms:.3f}",
        f"{row.ratio:.3f}",
        f"{row.ratio_low:.3f} to {row.ratio_high:.3f}",
    )


def _losses(free: FreeRun) -> Iterator[Text]:
    if not free.reference_losses:
        return
    yield Text()
    finite = [loss for loss in (*free.reference_losses, *free.candidate_losses) if math.isfinite(loss)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    for name, losses in (("reference", free.reference_losses), ("candidate", free.candidate_losses)):
        yield Text(f"loss, {name}  {bars(losses, low, high)}  {loss_ends(losses)}")
    yield Text(free_run_text(free), "dim")


def _facts(facts: Mapping[str, str]) -> Table:
    """Return names and values in two columns; a value that does not fit goes on below its own beginning."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table
