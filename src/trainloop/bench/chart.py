"""The picture of a report: for each direction, the speed-up of every algorithm for every problem, with its interval."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from trainloop.bench.results import Report, Row
from trainloop.bench.wording import headline
from trainloop.manual.conv import DIRECTIONS

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
"""colours of Okabe & Ito 2008, which colour-blind readers can tell apart"""
MARKERS = "osD^vPX*"
KINDS = ("svg", "png")
NOTE = (
    "against the better built-in of each problem and direction; bars: 95 % bootstrap intervals; crosses: wrong results"
)
TITLE_LENGTH = 160


def chart(report: Report, kind: str) -> bytes:
    """Draw the report.

    Args:
        report: what was measured.
        kind: svg or png.

    Returns:
        The file, which needs no other: letters of an SVG are drawn as paths.
    """
    # The object interface, not pyplot: no global state, no window, no back end to choose.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    directions = [name for name in DIRECTIONS if any(row.direction == name for row in report.rows)] or ["forward"]
    problems = list(dict.fromkeys(row.problem for row in report.rows))
    with mpl.rc_context({"svg.hashsalt": "trainloop"}):
        size = (3.6 + 3.4 * len(directions), 1.9 + 0.34 * max(3, len(problems)))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        panels = figure.subplots(1, len(directions), sharey=True, squeeze=False)[0]
        # A dollar sign would begin a formula.
        title = headline(report).replace("$", r"\$")
        figure.suptitle(title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1] + "…", fontsize=8)
        names = list(dict.fromkeys(row.name for row in report.rows))
        for axes, direction in zip(panels, directions, strict=True):
            _draw(axes, [row for row in report.rows if row.direction == direction], problems, names)
            axes.set_title(direction, fontsize=9)
        handles, labels = _legend(panels)
        if labels:
            small = {"fontsize": 7, "title_fontsize": 7}
            figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), title=NOTE, **small)
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return picture.getvalue()


def _draw(axes: Any, rows: Sequence[Row], problems: Sequence[str], names: Sequence[str]) -> None:
    axes.axvline(1.0, color="#555555", linewidth=0.8)
    for index, name in enumerate(names):
        own = [row for row in rows if row.name == name]
        style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        _draw_algorithm(axes, own, problems, name, style)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}×")
    axes.set_yticks(range(len(problems)), problems, fontsize=7)
    axes.set_ylim(max(1, len(problems)) - 0.5, -0.5)
    axes.set_xlabel("speed-up", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(alpha=0.25)


def _draw_algorithm(axes: Any, rows: Sequence[Row], problems: Sequence[str], name: str, style: dict[str, str]) -> None:
    timed = [(row, row.speedup) for row in rows if row.speedup is not None]
    wrong = [problems.index(row.problem) for row in rows if row.ok is False]
    axes.plot([1.0] * len(wrong), wrong, linestyle="", marker="x", color=style["color"], markersize=9)
    if not timed:
        return
    places = [problems.index(row.problem) for row, _ in timed]
    speedups = [speedup for _, speedup in timed]
    ends = [row.speedup_ci or (speedup, speedup) for row, speedup in timed]
    bars = [
        [max(0.0, speedup - low) for speedup, (low, _) in zip(speedups, ends, strict=True)],
        [max(0.0, high - speedup) for speedup, (_, high) in zip(speedups, ends, strict=True)],
    ]
    axes.errorbar(speedups, places, xerr=bars, linestyle="", markersize=4.5, linewidth=1, label=name, **style)


def _legend(panels: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Return each algorithm once."""
    found: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found = {**dict(zip(labels, handles, strict=True)), **found}
    return list(found.values()), list(found)
