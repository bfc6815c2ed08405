"""Numbers as people read them; pure functions, shared by every sink that prints."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 40


def percent(share: float | None) -> str:
    """Return 0.9213 as ``92.13 %``, and nothing for None."""
    return "" if share is None else f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """Return a time span as ``850 ms``, ``4.2 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rate(images_per_second: float) -> str:
    """Return images per second, with separators; a decimal below 100."""
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.1f}"


def count(number: int) -> str:
    """Return a number with thousands separators."""
    return f"{number:,}"


def threads(number: object) -> str:
    """Return ``1 thread`` or ``2 threads``."""
    return f"{number} thread{'' if str(number) == '1' else 's'}"


def size(num_bytes: float) -> str:
    """Return bytes as ``512 B``, ``3.4 KiB``, ``1.2 MiB`` or ``2.0 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def learning_rate(lr: float) -> str:
    """Return an lr in at most four significant digits."""
    return f"{lr:.4g}"


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> list[str]:
    """Return a table as aligned lines, headings first, without spaces at the line ends.

    Args:
        columns: headings.
        rows: cells, as many as columns.
        right: headings of the columns that are aligned right.
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    sides = [str.rjust if name in right else str.ljust for name in columns]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    ]


def fact_lines(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (name, value) pairs, the names padded to one width."""
    width = max(map(len, facts), default=0) + 2
    return [(name.ljust(width), value) for name, value in facts.items()]


def bars(values: Sequence[float], low: float, high: float) -> str:
    """Return a curve of block characters; a value that is not finite becomes ``×``.

    Args:
        values: the curve; of a long one every second, third, … is shown.
        low: the value of the lowest block.
        high: the value of the highest block.
    """
    picked = values[:: max(1, -(-len(values) // MAX_BARS))]
    span = (high - low) or 1.0
    return "".join(
        BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] if math.isfinite(value) else "×"
        for value in picked
    )
