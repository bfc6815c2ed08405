"""Over many rows: geometric mean of the speed-up, and totals, for each algorithm and direction."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from trainloop.bench.results import Row, Summary
from trainloop.manual.conv import DIRECTIONS


def summarise(rows: Sequence[Row]) -> tuple[Summary, ...]:
    """Return a summary for each algorithm, layout and direction, in the order of the rows.

    Args:
        rows: of any problems.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for direction in DIRECTIONS:
        for row in rows:
            if row.direction == direction:
                groups.setdefault((direction, row.algorithm, row.layout), []).append(row)
    return tuple(_summary(group) for group in groups.values())


def _summary(group: Sequence[Row]) -> Summary:
    timed = [
        (row, row.speedup, row.median_ms) for row in group if row.speedup is not None and row.median_ms is not None
    ]
    intervals = [row.speedup_ci for row, _, _ in timed if row.speedup_ci is not None]
    operations = math.fsum(row.gflop for row, _, _ in timed)
    first = group[0]
    return Summary(
        algorithm=first.algorithm,
        layout=first.layout,
        builtin=first.builtin,
        direction=first.direction,
        geometric_mean=statistics.geometric_mean(speedup for _, speedup, _ in timed) if timed else None,
        flop_weighted=operations / math.fsum(row.gflop / speedup for row, speedup, _ in timed) if timed else None,
        total_ms=math.fsum(median for _, _, median in timed),
        baseline_ms=math.fsum(median * speedup for _, speedup, median in timed),
        rows=len(timed),
        faster=sum(low > 1 for low, _ in intervals),
        slower=sum(high < 1 for _, high in intervals),
        failed=sum(row.ok is False for row in group),
        not_run=sum(row.ok is None for row in group),
    )
