"""What the metrics of a run tell: its course in a few numbers, and the first place where those of two runs differ."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainloop.errors import CheckpointError
from trainloop.files import open_plain, read_plain
from trainloop.loop.events import TIME_FIELDS, EpochDone, StepNotFinite, StepsDone, TestDone
from trainloop.runs.reading import as_count, as_number, unreadable

LONGEST_LINE = 100_000
"""bytes; a hundred times what a line has"""
TAIL = 4_096
"""bytes at the end of a file that hold its last line"""
LR = "lr"
ORDER = {StepsDone.kind: 0, StepNotFinite.kind: 0, EpochDone.kind: 1, TestDone.kind: 2}
"""in which lines of one step stand"""
LAST = 10**18
"""the step that the test counts as, which comes after all of them"""


@dataclass(frozen=True)
class LastStep:
    """The last line of a metrics file that tells of a step.

    Args:
        step: updates so far.
        seconds: since training began.
    """

    step: int
    seconds: float | None


@dataclass(frozen=True)
class Course:
    """How a run went.

    Args:
        steps: of each loss.
        losses: of each step line; finite or not.
        epochs: what the lines of the epochs hold.
        test: what the line of the test holds, or None.
        problem: why the rest of the file was not read; empty where it was.
    """

    steps: array[int] = field(default_factory=lambda: array("q"))
    losses: array[float] = field(default_factory=lambda: array("d"))
    epochs: list[dict[str, Any]] = field(default_factory=list)
    test: dict[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True)
class MetricsDifference:
    """How the metrics of two runs compare, time fields aside.

    Args:
        compared: lines that both have.
        place: of the first difference in what was measured, such as ``step 7``; empty where both have the same to the bit.
        fields: that differ there: name, value in the one run, value in the other.
        lr: where the lr, which nobody measures, differs first: place, value, value; None where it does not up to there.
        only_a, only_b: lines that the other run has not.
        problem: why no more was compared; empty where all of it was.
    """

    compared: int = 0
    place: str = ""
    fields: tuple[tuple[str, Any, Any], ...] = ()
    lr: tuple[str, Any, Any] | None = None
    only_a: int = 0
    only_b: int = 0
    problem: str = ""

    @property
    def same(self) -> bool:
        """Say whether both files hold the same lines to the bit, time fields aside."""
        return not (self.place or self.lr or self.only_a or self.only_b or self.problem)


def last_step(path: Path) -> LastStep | None:
    """Return the last step that a metrics file tells of; None where it tells of none, or is none."""
    try:
        content = read_plain(path, TAIL, end=True)
    except OSError:
        return None
    for line in reversed(content.split(b"\n")):
        with contextlib.suppress(ValueError, RecursionError):
            facts = json.loads(line)
            if isinstance(facts, dict) and (step := as_count(facts, "step")) is not None:
                return LastStep(step, as_number(facts, "seconds"))
    return None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metrics file.

    Raises:
        CheckpointError: it is missing, or a line is not one of such a file; names the line.
    """
    try:
        with open_plain(path) as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                yield _parsed(path, line, number)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def _parsed(path: Path, line: bytes, number: int) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise unreadable(path, f"line {number} has no end")
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"line {number} is no JSON") from error
    if not isinstance(facts, dict) or str(facts.get("event")) not in ORDER:
        raise unreadable(path, f"line {number} is none of a step, an epoch or the test")
    if facts["event"] == StepNotFinite.kind and isinstance(facts.get("images"), list):
        facts["images"] = ", ".join(map(str, facts["images"]))
    if any(isinstance(value, dict | list) for value in facts.values()):
        raise unreadable(path, f"line {number} holds more than plain values")
    return facts


def read_course(path: Path) -> Course:
    """Read the course of a run, as far as it can be read."""
    course = Course()
    test: dict[str, Any] | None = None
    try:
        for facts in lines(path):
            if facts["event"] == StepsDone.kind:
                step, loss = as_count(facts, "step"), as_number(facts, "loss")
                course.steps.append(-1 if step is None else step)
                course.losses.append(float("nan") if loss is None else loss)
            elif facts["event"] == EpochDone.kind:
                course.epochs.append(facts)
            elif facts["event"] == TestDone.kind:
                test = facts
    except CheckpointError as error:
        return Course(course.steps, course.losses, course.epochs, test, error.faults[0].found)
    return Course(course.steps, course.losses, course.epochs, test)


def first_difference(a: Path, b: Path) -> MetricsDifference:
    """Compare two metrics files line by line, time fields aside.

    Lines that tell of the same place are compared; so runs that log at other intervals are compared where both do.
    """
    found = MetricsDifference()
    try:
        for one, other in _side_by_side(a, b):
            if one is None or other is None:
                side = "only_b" if one is None else "only_a"
                found = replace(found, **{side: getattr(found, side) + 1})
                continue
            found = replace(found, compared=found.compared + 1)
            fields = _differing(one, other)
            if fields and fields[0][0] == LR and found.lr is None:
                found = replace(found, lr=(_place_text(one), *fields[0][1:]))
            if any(name != LR for name, *_ in fields):
                return replace(found, place=_place_text(one), fields=fields)
    except CheckpointError as error:
        fault = error.faults[0]
        return replace(found, problem=f"{fault.where}: {fault.found}")
    return found


def _side_by_side(a: Path, b: Path) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Yield the lines of both files, those of one place together; None for a file without a line there."""
    left, right = _places(a), _places(b)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        places = [line[0] for line in (one, other) if line is not None]
        here = min(places)
        yield (
            one[1] if one is not None and one[0] == here else None,
            other[1] if other is not None and other[0] == here else None,
        )
        one = next(left, None) if one is not None and one[0] == here else one
        other = next(right, None) if other is not None and other[0] == here else other


def _places(path: Path) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Yield the lines with their places, which must go up."""
    before = (-1, -1)
    for number, facts in enumerate(lines(path), 1):
        step = LAST if facts["event"] == TestDone.kind else as_count(facts, "step")
        if step is None or (step, ORDER[facts["event"]]) <= before:
            raise unreadable(path, f"line {number} does not come after the one before it")
        before = (step, ORDER[facts["event"]])
        yield before, facts


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """Return the fields that differ, the lr first; by their text, for a zero has two signs."""
    names = [name for name in dict.fromkeys([LR, *a, *b]) if name not in TIME_FIELDS]
    return tuple((name, a.get(name), b.get(name)) for name in names if repr(a.get(name)) != repr(b.get(name)))


def _place_text(facts: Mapping[str, Any]) -> str:
    if facts["event"] == TestDone.kind:
        return "the test"
    return f"the end of epoch {facts.get('epoch')}" if facts["event"] == EpochDone.kind else f"step {facts['step']}"
