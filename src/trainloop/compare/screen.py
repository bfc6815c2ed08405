"""How a verdict looks: styled in a terminal, plain text elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trainloop.compare.key import title
from trainloop.compare.verdict import FreeRun, StageReport, Timing, Verdict, Word
from trainloop.compare.wording import WORDS, cause_text, number, place, stage_note, whole
from trainloop.report.format import duration

STYLES: dict[Word, str] = {
    "equal": "bold green",
    "equal_up_to_rounding": "bold green",
    "different": "bold red",
    "inconclusive": "bold yellow",
}
BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 40


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the verdict, the table of stages, the losses and the times."""
    for part in _page(verdict):
        if console.is_terminal:
            console.print(part)
            continue
        with console.capture() as capture:
            console.print(part)
        # A table fills its lines with spaces, which nobody wants in a file.
        for line in capture.get().splitlines():
            console.print(Text(line.rstrip()), soft_wrap=True)


def as_text(verdict: Verdict, width: int = 160) -> str:
    """Return what :func:`print_verdict` prints outside of a terminal."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    for part in _page(verdict):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def _page(verdict: Verdict) -> Iterator[RenderableType]:
    yield _fact("reference", verdict.reference)
    yield _fact("candidate", verdict.candidate)
    for name, value in verdict.environment.items():
        yield _fact(name, value)
    yield Text()
    yield stage_table(verdict.stages)
    yield Text()
    yield from _losses(verdict.free_run)
    if verdict.timing is not None:
        yield Text()
        yield time_table(verdict.timing)
        yield Text(f"medians of {verdict.timing.rounds} steps of each side in turns; 95 % bootstrap intervals", "dim")
    yield Text()
    for remark in verdict.remarks:
        yield Text.assemble(("note  ", "cyan"), remark)
    yield headline(verdict)
    if verdict.cause is not None:
        yield Text.assemble(("cause  ", "bold"), cause_text(verdict.cause))
    if verdict.reproduction:
        yield Text.assemble(("to see it alone  ", "bold"), f"python {verdict.reproduction}/reproduce.py")
    yield Text(f"compared in {duration(verdict.seconds)}", "dim")


def headline(verdict: Verdict) -> Text:
    """Return the verdict line."""
    return Text.assemble((WORDS[verdict.verdict].upper(), STYLES[verdict.verdict]), ": ", verdict.reason)


def stage_table(reports: Sequence[StageReport]) -> Table:
    """Return a row for each stage."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in (
        ("stage", "left"),
        ("tensors", "right"),
        ("same bits", "right"),
        ("max abs", "right"),
        ("relative", "right"),
        ("ulp", "right"),
        ("floor", "right"),
        ("verdict", "left"),
        ("worst tensor", "left"),
    ):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=name != "worst tensor")
    for report in reports:
        table.add_row(*stage_cells(report), style=None, end_section=False)
    return table


def stage_cells(report: StageReport) -> tuple[str | Text, ...]:
    """Return the cells of a stage's row."""
    if not report.tensors:
        return (title(report.stage), "0", "–", "–", "–", "–", "–", Text("not compared", "dim"), "")
    worst = place(report.worst, report.index) if report.verdict != "equal" else report.worst
    return (
        title(report.stage),
        f"{report.tensors:,}",
        f"{report.same_bits:,}",
        number(report.max_abs_err),
        number(report.max_rel_err),
        whole(report.max_ulp),
        number(report.floor),
        Text(WORDS[report.verdict], STYLES[report.verdict]),
        worst + stage_note(report),
    )


def time_table(timing: Timing) -> Table:
    """Return a row for each stage's time."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("stage", "reference ms", "candidate ms", "ratio", "interval"):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for row in timing.stages:
        table.add_row(
            row.stage,
            f"{row.reference_ms:.3f}",
            f"{row.candidate_ms:.3f}",
            f"{row.ratio:.3f}",
            f"{row.ratio_low:.3f} to {row.ratio_high:.3f}",
        )
    return table


def _losses(free: FreeRun) -> Iterator[Text]:
    if not free.reference_losses:
        return
    finite = [loss for loss in (*free.reference_losses, *free.candidate_losses) if loss == loss]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    for name, losses in (("reference", free.reference_losses), ("candidate", free.candidate_losses)):
        ends = f"{losses[0]:.4f} → {losses[-1]:.4f}" if losses else "none"
        yield Text(f"loss, {name}  {bars(losses, low, high)}  {ends}")
    apart = [distance for distance in free.weight_distances if distance]
    if not apart:
        yield Text("each on its own: the weights have the same bits after every step", "dim")
        return
    first = next(step for step, distance in enumerate(free.weight_distances, 1) if distance)
    yield Text(
        f"each on its own: weights apart by {number(apart[0])} of the largest after step {first}, "
        f"{number(apart[-1])} after step {len(free.weight_distances)}",
        "dim",
    )


def bars(values: Sequence[float], low: float, high: float) -> str:
    """Return a curve of block characters; a value that is no number becomes ``×``."""
    picked = values[:: max(1, -(-len(values) // MAX_BARS))]
    span = (high - low) or 1.0
    return "".join(
        BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] if value == value else "×" for value in picked
    )


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"{name:<11}", "cyan"), value)
