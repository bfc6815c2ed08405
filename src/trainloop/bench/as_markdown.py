"""A report as Markdown: the summary first, then a table for each problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from trainloop.bench.columns import ROWS, SUMMARY, Column
from trainloop.bench.results import Report
from trainloop.bench.wording import LEGEND, facts, heading, headline, not_run, problems, remarks, wrong

T = TypeVar("T")


def as_markdown(report: Report) -> str:
    """Return the report as a Markdown page."""
    return "\n".join(_page(report))


def _page(report: Report) -> Iterator[str]:
    yield "# Ways to compute a convolution\n"
    yield f"{_escaped(headline(report))}\n"
    yield from (f"- {name}: {_escaped(fact)}" for name, fact in facts(report).items())
    if report.summary:
        yield "\n## Over all problems, against the better built-in of each\n"
        yield from table(SUMMARY, report.summary)
    for group in problems(report.rows):
        yield f"\n## {heading(group)}\n"
        yield from table(ROWS, [row for row in group if row.ok is not None], lambda row: row.name == row.baseline)
        said = [*not_run(group), *wrong(group)]
        yield from ([""] if said else [])
        yield from (f"- {_escaped(text)}" for text in said)
    yield ""
    yield from (f"{_escaped(text)}.  " for text in (*LEGEND, *remarks(report)))
    yield ""


def table(
    columns: Mapping[str, Column[T]], rows: Sequence[T], bold: Callable[[T], bool] = lambda _row: False
) -> Iterator[str]:
    """Yield the lines of a Markdown table.

    Args:
        columns: all of them.
        rows: all of them.
        bold: whether a row is emphasised.
    """
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' if column.left else '--:' for column in columns.values())}|"
    for row in rows:
        cells = (_escaped(column.cell(row)) for column in columns.values())
        yield f"| {' | '.join(f'**{cell}**' if bold(row) else cell for cell in cells)} |"


def _escaped(text: str) -> str:
    """Return the text with what Markdown would read as its own escaped."""
    for char in "\\|*_`<":
        text = text.replace(char, "\\" + char)
    return text.replace("\n", " ")
