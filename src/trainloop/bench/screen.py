"""How a report looks: coloured and as wide as the terminal, plain text with every column elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from trainloop.bench.columns import ROWS, SUMMARY, lines
from trainloop.bench.results import Report, Row
from trainloop.bench.wording import LEGEND, facts, heading, headline, not_run, problems, remarks, wrong

EVERY_COLUMN = 1_000
"""for a file, where a line may be as long as it likes"""


def print_report(report: Report, console: Console) -> None:
    """Print a report, at the end, where the eye rests, the summary and what it comes to."""
    width = console.width if console.is_terminal else EVERY_COLUMN
    for line in _page(report, width):
        console.print(line, soft_wrap=not console.is_terminal)


def as_text(report: Report) -> str:
    """Return what :func:`print_report` prints outside of a terminal."""
    return "\n".join(line.plain for line in _page(report, EVERY_COLUMN))


def _page(report: Report, width: int) -> Iterator[Text]:
    for name, fact in facts(report).items():
        yield Text.assemble((f"{name:<10}", "cyan"), fact)
    table, left_out = lines(ROWS, [row for row in report.rows if row.ok is not None], width)
    styled = iter(table[1:])
    for group in problems(report.rows):
        yield Text()
        yield Text(heading(group), "bold")
        yield Text(table[0], "cyan")
        yield from _rows([row for row in group if row.ok is not None], styled)
        yield from (Text(text, "dim") for text in not_run(group))
        yield from (Text(text, "bold red") for text in wrong(group))
    if len({row.problem for row in report.rows}) > 1:
        yield Text()
        yield from _summary(report, width)
    yield Text()
    for text in (
        *LEGEND,
        *([f"left out for want of room: {', '.join(left_out)}; --json has everything"] * bool(left_out)),
    ):
        yield Text(text, "dim")
    yield from (Text.assemble(("note  ", "cyan"), text) for text in remarks(report))
    yield Text()
    yield Text(headline(report), "bold red" if report.failures else "bold")


def _rows(rows: Sequence[Row], table: Iterator[str]) -> Iterator[Text]:
    """Yield the lines of a problem's rows; a direction is named once."""
    before = ""
    for row in rows:
        line = next(table)
        if row.direction == before:
            line = " " * len(row.direction) + line[len(row.direction) :]
        before = row.direction
        yield Text(line, _style(row))


def _style(row: Row) -> str:
    if row.ok is False:
        return "bold red"
    faster = not row.builtin and row.speedup_ci is not None and row.speedup_ci[0] > 1
    return "green" if faster else "bold" if row.name == row.baseline else ""


def _summary(report: Report, width: int) -> Iterator[Text]:
    table, _ = lines(SUMMARY, report.summary, width)
    yield Text("over all problems, against the better built-in of each", "bold")
    yield Text(table[0], "cyan")
    before = ""
    for summary, line in zip(report.summary, table[1:], strict=True):
        if before and summary.direction != before:
            yield Text()
        before = summary.direction
        yield Text(line, "bold red" if summary.failed else "")
