"""The picture of a comparison: the losses of both sides, and how far their weights go apart."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from trainloop.compare.verdict import FreeRun, Verdict
from trainloop.compare.wording import CONFIG_CASE, WORDS
from trainloop.report.curves import HELD_OUT, TRAIN

REFERENCE, CANDIDATE, DISTANCE = TRAIN, HELD_OUT, "#D55E00"
"""colours of Okabe & Ito 2008, see ``report/curves.py``; the distance is vermilion"""
FEW_STEPS = 60
"""up to which each step gets a marker"""
TITLE_WIDTH = 100


def curves_png(verdict: Verdict) -> bytes:
    """Draw the losses and the distance of the weights, each side on its own way from the same start.

    Args:
        verdict: of a comparison; one that ended before its first step gives an empty picture that says so.

    Returns:
        A PNG file.
    """
    # The object interface, not pyplot: no global state, no window, no back end to choose.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), dpi=110, layout="constrained")
    loss_axes, distance_axes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.suptitle(_title(verdict), fontsize=10)
    _draw_losses(loss_axes, verdict.free_run)
    _draw_distance(distance_axes, verdict.free_run)
    for axes in (loss_axes, distance_axes):
        axes.grid(alpha=0.25)
        axes.margins(x=0.02)
        if verdict.first is not None and verdict.first.case == CONFIG_CASE:
            axes.axvline(verdict.first.step, color="#000000", linewidth=0.8, linestyle=":")
    distance_axes.xaxis.get_major_locator().set_params(integer=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _title(verdict: Verdict) -> str:
    lines = (f"{verdict.candidate} against {verdict.reference}", f"{WORDS[verdict.verdict]}: {verdict.reason}")
    folded = (textwrap.fill(line, TITLE_WIDTH, max_lines=2, placeholder=" …") for line in lines)
    # A dollar sign would begin a formula.
    return "\n".join(folded).replace("$", r"\$")


def _draw_losses(axes: Any, free: FreeRun) -> None:
    _draw_curve(axes, free.reference_losses, color=REFERENCE, label="reference", linewidth=2.6, alpha=0.55)
    _draw_curve(axes, free.candidate_losses, color=CANDIDATE, label="candidate", linewidth=1.2)
    axes.set(ylabel="loss")
    if free.reference_losses:
        axes.legend(loc="best", fontsize=8)
    else:
        _say(axes, "the comparison ended before its first step")


def _draw_distance(axes: Any, free: FreeRun) -> None:
    axes.set(ylabel="weights apart, relative", xlabel="step")
    positive = [value if value > 0 and math.isfinite(value) else math.nan for value in free.weight_distances]
    if all(map(math.isnan, positive)):
        axes.set_yticks([])
        _say(axes, "the weights have the same bits after every step" if positive else "no step was taken")
        return
    _draw_curve(axes, positive, color=DISTANCE)
    axes.set_yscale("log")


def _draw_curve(axes: Any, values: Sequence[float], **style: Any) -> None:
    finite = [value if math.isfinite(value) else math.nan for value in values]
    marker = {"marker": "o", "markersize": 3} if len(values) <= FEW_STEPS else {}
    axes.plot(range(1, len(values) + 1), finite, **marker, **style)


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#555555")
