"""The console: a header, a live line, a row an epoch and a table at the end.

In a terminal the live line is drawn in place. Anywhere else the same facts come as plain lines: a row an epoch, and a line
every ten seconds within one; no control characters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from trainloop.loop.events import (
    CheckpointSaved,
    EpochDone,
    EvaluationStarted,
    Event,
    Notice,
    RunFinished,
    RunStarted,
    StepNotFinite,
    StepRecord,
    StepsDone,
    TestDone,
)
from trainloop.report.format import count, duration, fact_lines, learning_rate, percent, rate, table_lines
from trainloop.report.summary import Summary

PLAIN_INTERVAL_SECONDS = 10.0
PLAIN_WIDTH = 110
SHOWN_SKIPPED = 3
COLUMNS = (("epoch", 7), ("step", 7), ("lr", 9), ("loss", 8), ("train", 8), ("val", 8), ("images/s", 9), ("time", 12))


def make_console(*, live: bool) -> Console:
    """Return the console of a run.

    Args:
        live: standard output is a terminal to draw in; otherwise nothing but plain text is written to it.
    """
    if live:
        return Console(highlight=False)
    return Console(highlight=False, force_terminal=False, no_color=True, width=PLAIN_WIDTH, emoji=False, markup=False)


class ConsoleSink:
    """Print a run.

    Args:
        console: where to.
        live: draw a line in place while training.
        rows: print a row an epoch.
    """

    def __init__(self, console: Console, *, live: bool, rows: bool = True) -> None:
        self.console = console
        self._live = live
        self._rows = rows
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._start: RunStarted | None = None
        self._last_line_seconds = 0.0
        self._speed = Speed()
        self._num_skipped = 0

    def handle(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif isinstance(event, StepsDone):
            self._steps(event.records[-1], event)
        elif isinstance(event, EpochDone):
            self._epoch(event)
        elif isinstance(event, EvaluationStarted):
            self._evaluating(event)
        elif isinstance(event, TestDone):
            self.close()
        elif isinstance(event, Notice):
            print_line(self.console, event.text)
        elif isinstance(event, StepNotFinite):
            if event.skipped:
                self._skipped(event)
        elif isinstance(event, CheckpointSaved):
            if event.asked:
                print_line(self.console, f"saved at step {count(event.step)}: {event.path}")
        else:
            self._end(event)

    def close(self) -> None:
        """Take the live line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _begin(self, event: RunStarted) -> None:
        self._start = event
        print_facts(self.console, event.facts)
        self.console.print()
        if not self._rows:
            return
        self.console.print(Text(" ".join(f"{name:>{width}}" for name, width in COLUMNS), style="bold"))
        if self._live:
            self._progress = live_line(self.console)
            self._task = self._progress.add_task("", total=event.total_steps, facts="")
            self._progress.start()

    def _steps(self, last: StepRecord, event: StepsDone) -> None:
        self._speed.add(event)
        if self._start is None or not self._rows:
            return
        facts = self._now(last)
        if self._progress is not None:
            self._progress.update(self._task, completed=last.step, facts=facts)
            self._progress.refresh()
        elif not self._live and last.seconds - self._last_line_seconds >= PLAIN_INTERVAL_SECONDS:
            self._last_line_seconds = last.seconds
            print_line(self.console, f"  step {count(last.step)} of {count(self._start.total_steps)}: {facts}")

    def _skipped(self, event: StepNotFinite) -> None:
        """Print the first steps without an update; where they come in numbers, the rest stands in the metrics."""
        self._num_skipped += 1
        if self._num_skipped <= SHOWN_SKIPPED:
            last = "; further ones are in metrics.jsonl only" if self._num_skipped == SHOWN_SKIPPED else ""
            text = f"no update in step {count(event.step)}: {event.tensor} has {event.found}{last}"
            print_line(self.console, text)

    def _now(self, last: StepRecord) -> str:
        assert self._start is not None
        left = (self._start.total_steps - last.step) * self._speed.seconds_per_step
        return (
            f"epoch {last.epoch}/{self._start.epochs}  loss {last.loss:.4f}  "
            f"acc {percent(last.correct / last.samples)}  lr {learning_rate(last.lr)}  "
            f"{rate(self._speed.images_per_second)} images/s  {duration(left)} left"
        )

    def _epoch(self, event: EpochDone) -> None:
        self._last_line_seconds = event.seconds
        if not self._rows or self._start is None:
            return
        cells = (
            f"{event.epoch}/{self._start.epochs}",
            count(event.step),
            learning_rate(event.lr),
            f"{event.train_loss:.4f}",
            percent(event.train_accuracy),
            percent(event.val_accuracy) or "-",
            rate(event.images_per_second),
            duration(event.seconds),
        )
        print_line(self.console, " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)))

    def _evaluating(self, event: EvaluationStarted) -> None:
        if self._progress is not None:
            facts = f"evaluating {count(event.samples)} {event.split} images"
            self._progress.update(self._task, facts=facts)
            self._progress.refresh()

    def _end(self, event: RunFinished) -> None:
        summary: Summary = event.summary
        self.console.print()
        rows = stage_rows(summary.stages_ms)
        print_table(self.console, ("stage", "ms a step", "share"), rows, right=("ms a step", "share"))
        print_line(self.console, summary.timing_method)
        self.console.print()
        self.console.print(Text(f"test accuracy {percent(summary.test_accuracy)}", style="bold"))
        print_line(
            self.console,
            f"{count(summary.steps)} steps in {duration(summary.seconds)}, "
            f"{rate(summary.images_per_second)} images/s in training, test loss {summary.test_loss:.4f}",
        )
        print_line(self.console, f"run folder: {event.run_dir}")


class Speed:
    """How fast the last seconds of training went."""

    def __init__(self) -> None:
        self.images_per_second = 0.0
        self.seconds_per_step = 0.0
        self._last: tuple[int, float] | None = None

    def add(self, event: StepsDone) -> None:
        """Take a group of steps in; a running mean over about ten groups."""
        first, last = event.records[0], event.records[-1]
        if self._last is None and first.step == 1:
            self._last = (0, 0.0)
        if self._last is None:
            # The run goes on from a checkpoint: its first step here began at a time that nobody has told.
            self._last = (first.step, first.seconds)
        step, seconds = self._last
        if last.step == step:
            return
        elapsed = max(last.seconds - seconds, 1e-9)
        images = sum(record.samples for record in event.records if record.step > step)
        weight = 1.0 if self.seconds_per_step == 0 else 0.1
        self.images_per_second += weight * (images / elapsed - self.images_per_second)
        self.seconds_per_step += weight * (elapsed / (last.step - step) - self.seconds_per_step)
        self._last = (last.step, last.seconds)


def print_line(console: Console, text: str | Text) -> None:
    """Print one line as it is: never read as markup, for paths may hold brackets; wrapped by the terminal alone."""
    console.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


def print_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    for name, value in fact_lines(facts):
        print_line(console, Text.assemble((name, "bold cyan"), value))


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Print aligned columns under bold headings."""
    head, *lines = table_lines(columns, rows, right=right)
    print_line(console, Text(head, style="bold"))
    for line in lines:
        print_line(console, line)


def live_line(console: Console) -> Progress:
    """Return a progress bar that is drawn only when told to: no thread, no timer."""
    return Progress(
        BarColumn(bar_width=18),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[facts]}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
    )


def stage_rows(stages_ms: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return the table of time per stage, the whole step last."""
    total = sum(stages_ms.values())
    rows = [(stage, f"{elapsed:.3f}", f"{100 * elapsed / total:.1f} %") for stage, elapsed in stages_ms.items()]
    return [*rows, ("whole step", f"{total:.3f}", "")]
