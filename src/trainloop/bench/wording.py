"""What a report says in words, wherever it is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from trainloop.bench.columns import milliseconds, times, whole
from trainloop.bench.results import Report, Row, Summary
from trainloop.report.format import duration

BUSY_LOAD = 0.5
"""from which on other programs are worth a word"""
LEGEND = (
    "speed-up: median of the better built-in by this median, with a 95 % bootstrap interval; error: relative, in the 2-norm, "
    "against float64",
    "GFLOP/s: direct operations, taps on padding counted, by the median, which may exceed the peak; actual and % peak: what "
    "the algorithm multiplies",
)
"""below the table"""


def facts(report: Report) -> dict[str, str]:
    """Return what a report opens with, by name."""
    machine, settings = report.machine, report.settings
    versions, peaks = machine["versions"], machine["peaks"]
    one, threads = peaks["gemm_gflops_one_thread"], machine["threads"]
    products = f"{whole(peaks['gemm_gflops'])} GFLOP/s"
    if one is not None:
        more = f", {whole(peaks['gemm_gflops'])} with {threads}" if threads > 1 else ""
        products = f"{whole(one)} GFLOP/s with one thread{more}"
    kept = "kept in the process" if machine["keep_freed_memory"] else "returned to the system"
    load = machine["load_average"]
    busy = "" if load is None else f" · load {load:.1f} at the start"
    return {
        "machine": f"{machine['device']} · {machine['device_name']} · {threads} thread{'' if threads == 1 else 's'} · "
        f"{machine['cpu_capability']}{busy}",
        "versions": f"torch {versions['torch']} · oneDNN {versions['onednn']} · trainloop {versions['trainloop']}",
        "peaks": f"product of matrices {products} ({peaks['dtype']}) · "
        f"copy {whole(peaks['copy_gb_s'])} GB/s read and written",
        "measured": f"{settings['dtype']} · {settings['layout']}, the built-ins in both layouts · calls in turns, with new "
        f"operands each · freed memory {kept}",
    }


def remarks(report: Report) -> list[str]:
    """Return what a reader must know before believing the times."""
    load, threads = report.machine["load_average"], report.machine["threads"]
    found = []
    if load is not None and load >= BUSY_LOAD and threads > 1:
        found.append(
            f"other programs were running (load {load:.1f}): a kernel of {threads} threads waits for the one that has no core, "
            "for milliseconds; believe the intervals, or measure again when nothing else runs"
        )
    return found


def problems(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each problem."""
    return [list(group) for _, group in itertools.groupby(rows, key=lambda row: (row.problem, row.layer))]


def heading(rows: Sequence[Row]) -> str:
    """Return the line above a problem's rows."""
    first = rows[0]
    layer = f" · {first.layer}" if first.layer else ""
    return f"{first.problem}{layer} · {operations(first.gflop)}"


def operations(gflop: float) -> str:
    """Return 0.302 as ``302 MFLOP``."""
    number, unit = next(
        ((scale * gflop, unit) for scale, unit in ((1, "GFLOP"), (1e3, "MFLOP")) if scale * gflop >= 1),
        (1e6 * gflop, "kFLOP"),
    )
    return f"{number:.3g} {unit}" if number < 1_000 else f"{number:,.0f} {unit}"


def not_run(rows: Sequence[Row]) -> list[str]:
    """Return, for each algorithm that did not do a problem, a line with its reason."""
    return _with_directions("not run", [row for row in rows if row.ok is None], rows)


def wrong(rows: Sequence[Row]) -> list[str]:
    """Return a line for each wrong result."""
    return _with_directions("FAIL", [row for row in rows if row.ok is False], rows)


def headline(report: Report) -> str:
    """Return the last line: what failed, or how the algorithms compare; and whether it is all."""
    cut = "" if report.complete else f", interrupted after {len(problems(report.rows))} problems"
    time = f" (measured in {duration(report.seconds)}{cut})"
    if report.failures:
        return f"FAIL: {len(report.failures)} of {len(report.rows)} rows are wrong{time}"
    means: dict[str, list[Summary]] = {}
    for summary in report.summary:
        if not summary.builtin and summary.geometric_mean is not None:
            means.setdefault(summary.name, []).append(summary)
    fastest_first = sorted(means.values(), key=lambda parts: -max(part.geometric_mean or 0 for part in parts))
    texts = [
        f"{parts[0].name} {', '.join(f'{part.direction} {times(part.geometric_mean)}' for part in parts)}"
        for parts in fastest_first
    ]
    return ("; ".join(texts) or "nothing but the built-ins was measured") + time


def in_short(rows: Sequence[Row]) -> str:
    """Return the rows of one problem and direction in a line: the better built-in, then everybody by speed."""
    best = next((row for row in rows if row.median_ms is not None and row.name == row.baseline), None)
    parts = [] if best is None else [f"{best.name} {milliseconds(best.median_ms)} ms"]
    others = [row for row in rows if row.speedup is not None and not row.builtin]
    parts += [f"{row.name} {times(row.speedup)}" for row in sorted(others, key=lambda row: -(row.speedup or 0))]
    parts += [f"FAIL {row.name}" for row in rows if row.ok is False]
    return ", ".join(parts) or "nothing was run"


def _with_directions(word: str, chosen: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """Return lines ``word  name (directions): reason``, rows with the same reason in one."""
    directions = list(dict.fromkeys(row.direction for row in rows))
    found: dict[tuple[str, str], list[str]] = {}
    for row in chosen:
        found.setdefault((row.name, row.reason), []).append(row.direction)
    return [
        f"{word}  {name}{'' if where == directions else ' in ' + ', '.join(where)}: {reason}"
        for (name, reason), where in found.items()
    ]
