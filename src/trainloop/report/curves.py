"""The picture of a run: loss, accuracy and lr over the steps."""

from __future__ import annotations

import io
from array import array
from collections.abc import Sequence
from typing import Any

from trainloop.loop.events import EpochDone, Event, StepsDone, TestDone

TRAIN, HELD_OUT, TEST = "#0072B2", "#E69F00", "#000000"
"""colours of Okabe & Ito 2008, which colour-blind readers can tell apart"""
MAX_POINTS = 2_000


class History:
    """Keep what the curves need; the steps in plain arrays, for a list of objects would keep the garbage collector busy."""

    def __init__(self) -> None:
        self.steps = array("q")
        self.losses = array("d")
        self.lrs = array("d")
        self.epochs: list[EpochDone] = []
        self.test: tuple[float, float] | None = None

    def handle(self, event: Event) -> None:
        """Keep steps, epochs and the test."""
        if isinstance(event, StepsDone):
            self.steps.extend(record.step for record in event.records)
            self.losses.extend(record.loss for record in event.records)
            self.lrs.extend(record.lr for record in event.records)
        elif isinstance(event, EpochDone):
            self.epochs.append(event)
        elif isinstance(event, TestDone):
            self.test = (event.test_loss, event.test_accuracy)

    def close(self) -> None:
        """Keep everything."""


def curves_png(history: History, title: str) -> bytes:
    """Draw the curves.

    Args:
        history: of a run with at least one step.
        title: shown above.

    Returns:
        A PNG file.
    """
    # The object interface, not pyplot: no global state, no window, no back end to choose.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.5), dpi=110, layout="constrained")
    loss_axes, accuracy_axes, lr_axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.4])
    figure.suptitle(title, fontsize=11)
    _draw_loss(loss_axes, history)
    _draw_accuracy(accuracy_axes, history)
    lr_axes.plot(_thinned(history.steps), _thinned(history.lrs), color=TRAIN, linewidth=1.2)
    lr_axes.set(ylabel="lr", xlabel="step")
    for axes in (loss_axes, accuracy_axes, lr_axes):
        axes.grid(alpha=0.25)
        axes.margins(x=0.01)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_loss(axes: Any, history: History) -> None:
    axes.plot(_thinned(history.steps), _thinned(history.losses), color=TRAIN, linewidth=0.6, alpha=0.35)
    ends = [e.step for e in history.epochs]
    axes.plot(ends, [e.train_loss for e in history.epochs], color=TRAIN, marker="o", markersize=3, label="train")
    if any(e.val_loss is not None for e in history.epochs):
        axes.plot(ends, [e.val_loss for e in history.epochs], color=HELD_OUT, marker="s", markersize=3, label="val")
    if history.test:
        axes.plot(
            [history.steps[-1]],
            [history.test[0]],
            color=TEST,
            marker="*",
            linestyle="",
            label="test (without label smoothing)",
        )
    axes.set(ylabel="loss")
    axes.legend(loc="upper right", fontsize=8)


def _draw_accuracy(axes: Any, history: History) -> None:
    ends = [e.step for e in history.epochs]
    train = [100 * e.train_accuracy for e in history.epochs]
    axes.plot(ends, train, color=TRAIN, marker="o", markersize=3, label="train (as it learns, augmented)")
    if any(e.val_accuracy is not None for e in history.epochs):
        val = [100 * (e.val_accuracy or 0.0) for e in history.epochs]
        axes.plot(ends, val, color=HELD_OUT, marker="s", markersize=3, label="val")
    if history.test:
        percent = 100 * history.test[1]
        label = f"test, at the end: {percent:.2f} %"
        axes.plot([history.steps[-1]], [percent], color=TEST, marker="*", linestyle="", label=label)
    axes.set(ylabel="accuracy, %")
    axes.legend(loc="lower right", fontsize=8)


def _thinned(values: Sequence[float]) -> Sequence[float]:
    return values[:: max(1, len(values) // MAX_POINTS)]
