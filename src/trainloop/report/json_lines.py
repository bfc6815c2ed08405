"""Events as JSON, one object a line: ``metrics.jsonl`` in the run folder, and ``--progress json`` on standard output."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trainloop.errors import ResourceError
from trainloop.files import AppendFile
from trainloop.loop.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    Notice,
    RunFinished,
    RunStarted,
    StepNotFinite,
    StepRecord,
    StepsDone,
    TestDone,
)


class JsonLines:
    """Write events as JSON lines.

    Args:
        write: takes one or more whole lines.
        every: steps between two step lines.
        whole_run: tell the start and the end too; the metrics file holds only what was measured.
    """

    def __init__(self, write: Callable[[str], object], *, every: int = 1, whole_run: bool = False) -> None:
        self._write = write
        self._every = every
        self._whole_run = whole_run

    def handle(self, event: Event) -> None:
        """Write what the event says."""
        lines = "".join(self._lines(event))
        if lines:
            self._write(lines)

    def _lines(self, event: Event) -> Iterable[str]:
        if isinstance(event, StepsDone):
            return (step_line(record) for record in event.records if record.step % self._every == 0)
        if isinstance(event, EpochDone | StepNotFinite | TestDone):
            return [line(event.kind, dataclasses.asdict(event))]
        if self._whole_run and isinstance(event, RunStarted):
            return [line(event.kind, {"facts": dict(event.facts), "total_steps": event.total_steps})]
        if self._whole_run and isinstance(event, CheckpointSaved | Notice):
            return [line(event.kind, dataclasses.asdict(event))]
        if self._whole_run and isinstance(event, RunFinished):
            return [line(event.kind, {"run_dir": event.run_dir, "summary": event.summary.as_dict()})]
        return []

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""


class MetricsFile(JsonLines):
    """``metrics.jsonl``. Lines that the disk refuses wait, and are tried again with the next ones.

    Args:
        stream: the open file; closed with this sink.
        every: steps between two step lines.
    """

    def __init__(self, stream: AppendFile, *, every: int) -> None:
        super().__init__(self._append, every=every)
        self._stream = stream
        self._waiting = ""

    def _append(self, lines: str) -> None:
        self._waiting += lines
        with contextlib.suppress(ResourceError):
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting:
            self._stream.append(self._waiting)
            self._waiting = ""

    def sync(self) -> int:
        """Flush every line to the disk, and return the length of the file.

        Raises:
            ResourceError: the disk refuses.
        """
        self._write_waiting()
        return self._stream.sync()

    def close(self) -> None:
        """Flush the file to the disk and close it.

        Raises:
            ResourceError: lines are left that the disk refuses.
        """
        try:
            self._write_waiting()
        finally:
            self._stream.close()


def line(kind: str, facts: dict[str, Any]) -> str:
    """Return one JSON line that begins with its kind."""
    return json.dumps({"event": kind, **facts}, allow_nan=False, ensure_ascii=False) + "\n"


def step_line(record: StepRecord) -> str:
    """Return the line of one step. Put together by hand, for it is on the path of every step."""
    return (
        f'{{"event": "step", "step": {record.step}, "epoch": {record.epoch}, "lr": {record.lr!r}, '
        f'"loss": {record.loss!r}, "correct": {record.correct}, "samples": {record.samples}, '
        f'"seconds": {record.seconds:.6f}}}\n'
    )


def read_events(text: str) -> Iterator[Event]:
    """Yield the steps and epochs that lines of a metrics file tell of, as the run told of them.

    Raises:
        ValueError, KeyError, TypeError: a line is not of such a file.
    """
    for text_line in text.splitlines():
        facts = json.loads(text_line)
        kind = facts.pop("event")
        if kind == StepsDone.kind:
            yield StepsDone((StepRecord(**_numbers(facts)),))
        elif kind == EpochDone.kind:
            yield EpochDone(**_numbers(facts))


def _numbers(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a line, each of which is a number or absent (the file may be damaged)."""
    for name, value in facts.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise TypeError(f"{name} is {str(value)[:40]!r}, which is no number")
    return facts
