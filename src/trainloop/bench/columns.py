"""The columns of the tables: what each shows, and which are left out first where the screen is narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from trainloop.bench.results import Row, Summary

NOTHING = "–"
GAP = 2
"""spaces between two columns"""
T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column.

    Args:
        cell: row → text.
        rank: where there is no room, columns of a higher rank are left out first; 0 stays.
        left: whether it is aligned left.
        least: it may be cut down to so many characters; None for never.
    """

    cell: Callable[[T], str]
    rank: int = 0
    left: bool = False
    least: int | None = None


def milliseconds(value: float | None) -> str:
    """Return 0.1234 as ``0.123``, 12.34 as ``12.3``: three digits, as many as the measurement has."""
    return NOTHING if value is None else f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"


def error(value: float | None) -> str:
    """Return 4.2e-07."""
    return NOTHING if value is None else f"{value:.1e}"


def times(value: float | None) -> str:
    """Return 1.84 as ``1.84×``."""
    return NOTHING if value is None else f"{value:.2f}×"


def between(ends: tuple[float, float] | None) -> str:
    """Return ``1.79–1.90``."""
    return NOTHING if ends is None else f"{ends[0]:.2f}–{ends[1]:.2f}"


def whole(value: float | None) -> str:
    """Return 12.3 as ``12``, and 0.42 as ``0.42``."""
    return (
        NOTHING if value is None else f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"
    )


def _median(row: Row) -> str:
    return "FAIL" if row.ok is False else milliseconds(row.median_ms)


def _interval(row: Row) -> str:
    return "baseline" if row.median_ms is not None and row.name == row.baseline else between(row.speedup_ci)


ROWS: Mapping[str, Column[Row]] = {
    "direction": Column(lambda row: row.direction, left=True),
    "algorithm": Column(lambda row: row.name, left=True),
    "median ms": Column(_median),
    "IQR": Column(lambda row: milliseconds(row.iqr_ms), 5),
    "n": Column(lambda row: str(row.num_samples) if row.num_samples else NOTHING, 6),
    "first ms": Column(lambda row: milliseconds(row.first_call_ms), 8),
    "speed-up": Column(lambda row: times(row.speedup)),
    "95 %": Column(_interval, 1),
    "error": Column(lambda row: error(row.rel_err), 2),
    "library's": Column(lambda row: error(row.library_rel_err), 9),
    "GFLOP/s": Column(lambda row: whole(row.gflops_effective), 4),
    "actual": Column(lambda row: whole(row.gflops_actual), 7),
    "% peak": Column(lambda row: whole(row.percent_of_peak), 6),
    "MiB": Column(lambda row: whole(row.workspace_mib), 5),
    "kernel": Column(lambda row: row.kernel or NOTHING, 3, left=True, least=17),
}
"""of a row"""

SUMMARY: Mapping[str, Column[Summary]] = {
    "direction": Column(lambda row: row.direction, left=True),
    "algorithm": Column(lambda row: row.name, left=True),
    "geometric mean": Column(lambda row: times(row.geometric_mean)),
    "FLOP-weighted": Column(lambda row: times(row.flop_weighted)),
    "total ms": Column(lambda row: milliseconds(row.total_ms if row.rows else None), 4),
    "better built-in's": Column(lambda row: milliseconds(row.baseline_ms if row.rows else None), 4),
    "rows": Column(lambda row: str(row.rows)),
    "faster": Column(lambda row: str(row.faster)),
    "slower": Column(lambda row: str(row.slower)),
    "failed": Column(lambda row: str(row.failed), 1),
    "not run": Column(lambda row: str(row.not_run), 2),
}
"""of the summary"""


def lines(columns: Mapping[str, Column[T]], rows: Sequence[T], width: int) -> tuple[list[str], list[str]]:
    """Return a table as aligned lines, headings first, and the names of the columns for which there was no room.

    Args:
        columns: all of them.
        rows: all of them.
        width: of the screen.
    """
    texts = {name: [name, *(column.cell(row) for row in rows)] for name, column in columns.items()}
    widths = {name: max(map(len, column)) for name, column in texts.items()}
    least = {name: min(widths[name], columns[name].least or widths[name]) for name in columns}
    chosen = list(columns)
    while _sum(least, chosen) > width and any(columns[name].rank for name in chosen):
        chosen.remove(max(chosen, key=lambda name: columns[name].rank))
    for name in chosen:
        if columns[name].least is not None:
            widths[name] = max(least[name], min(widths[name], width - _sum({**widths, name: 0}, chosen)))
    table = []
    for number in range(len(rows) + 1):
        found = (_aligned(texts[name][number], widths[name], left=columns[name].left) for name in chosen)
        table.append((GAP * " ").join(found).rstrip())
    return table, [name for name in columns if name not in chosen]


def _sum(widths: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(widths[name] + GAP for name in names) - GAP


def _aligned(text: str, width: int, *, left: bool) -> str:
    cut = text if len(text) <= width else text[: width - 1] + "…"
    return cut.ljust(width) if left else cut.rjust(width)
