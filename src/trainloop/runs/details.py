"""One run in full: its config, its machine, its results, its checkpoints verified, and how to go on with it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainloop.checkpoint.layout import Facts
from trainloop.checkpoint.manifest import STATE, read_facts, verify
from trainloop.checkpoint.places import checkpoint_folders
from trainloop.config.flatten import leaves
from trainloop.config.schema import RunConfig
from trainloop.errors import CheckpointError
from trainloop.files import disk_use
from trainloop.report import run_folder
from trainloop.runs.metrics import Course, read_course
from trainloop.runs.overview import RunOverview, look_at
from trainloop.runs.reading import as_section, read_config, read_json, reason

PLACES_OF_FILES = ("model.name", "stages.conv")
"""keys that may name a Python file of the user's own"""


@dataclass(frozen=True)
class CheckpointRow:
    """One checkpoint.

    Args:
        name: of its folder.
        step: that it stands at, by its content; None where that is damaged.
        bytes: of its files.
        problem: why it is not whole; empty for one that verifies.
        is_best: whether it is that of the best epoch.
    """

    name: str
    step: int | None
    bytes: int
    problem: str
    is_best: bool


@dataclass(frozen=True)
class RunDetails:
    """What a run folder says.

    Args:
        overview: the row of the run.
        config: the keys that are not as without a config file, by dotted name.
        config_problem: why the config cannot be read; empty where it can.
        environment: what ``env.json`` says of versions, hardware, knobs and data; empty where it cannot be read.
        results: what ``summary.json`` holds; empty for a run that did not end.
        resumed: where the run was taken up again: step, and what made its bits differ.
        checkpoints: the furthest first.
        course: its metrics.
        command: how to go on with it; empty for a run that ended or cannot go on.
    """

    overview: RunOverview
    config: Mapping[str, Any]
    config_problem: str
    environment: Mapping[str, Any]
    results: Mapping[str, Any]
    resumed: tuple[tuple[int, tuple[str, ...]], ...]
    checkpoints: tuple[CheckpointRow, ...]
    course: Course
    command: str

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values; of the metrics the epochs and the test, for the steps lie in their file."""
        return {
            "run": self.overview.as_dict(),
            "config_changed": dict(self.config),
            "config_problem": self.config_problem,
            "environment": dict(self.environment),
            "results": dict(self.results),
            "resumed": [{"step": step, "not_exact_because": list(reasons)} for step, reasons in self.resumed],
            "checkpoints": [dataclasses.asdict(row) for row in self.checkpoints],
            "epochs": self.course.epochs,
            "test": self.course.test,
            "metrics_problem": self.course.problem,
            "command": self.command,
        }


def read_details(run: Path) -> RunDetails:
    """Read everything that a run folder says; every checkpoint in it is verified."""
    overview = look_at(run)
    facts, checkpoints = read_checkpoints(run)
    results = _json_or_nothing(run / run_folder.SUMMARY)
    config, problem = _config(run)
    can_go_on = overview.state in ("interrupted", "no checkpoint") and config is not None
    return RunDetails(
        overview=overview,
        config=changed_keys(config) if config else {},
        config_problem=problem,
        environment=_json_or_nothing(run / run_folder.ENVIRONMENT),
        results=results,
        resumed=_resumed(results, facts),
        checkpoints=checkpoints,
        course=read_course(run / run_folder.METRICS),
        command=command_to_go_on(run, config) if can_go_on and config else "",
    )


def read_checkpoints(run: Path) -> tuple[Facts | None, tuple[CheckpointRow, ...]]:
    """Verify the checkpoints of a run; return what the furthest that is whole says, and a row each."""
    newest: Facts | None = None
    rows = []
    for path in checkpoint_folders(run):
        step, problem = None, ""
        try:
            facts = read_facts(path, verify(path)[STATE])
            step = facts.position.step
            newest = newest or facts
        except CheckpointError as error:
            problem = f"{reason(error)}, expected {error.faults[0].expected}"
        rows.append(CheckpointRow(path.name, step, disk_use(path), problem, is_best=False))
    best = newest.best.folder if newest and newest.best else None
    return newest, tuple(dataclasses.replace(row, is_best=row.name == best) for row in rows)


def changed_keys(config: RunConfig) -> dict[str, Any]:
    """Return the keys of a config that are not as the defaults have them.

    In a section of several kinds, such as the optimizer, the defaults are those of the kind that was chosen.
    """
    return {
        ".".join(path): value
        for path, value in leaves(config).items()
        if path not in (defaults := dict(_defaults(config))) or defaults[path] != value
    }


def _defaults(config: RunConfig) -> Iterator[tuple[tuple[str, ...], Any]]:
    plain = leaves(RunConfig())
    for name in ("optimizer", "schedule"):
        section = getattr(config, name)
        if plain[(name, "name")] != section.name:
            plain = {path: value for path, value in plain.items() if path[0] != name}
            for key, field in type(section).model_fields.items():
                if key != "name" and not field.is_required():
                    value = field.get_default(call_default_factory=True)
                    plain[(name, key)] = list(value) if isinstance(value, tuple) else value
    yield from plain.items()


def command_to_go_on(run: Path, config: RunConfig) -> str:
    """Return the command that goes on with a run from its folder."""
    words = ["trainloop", "train", "--config", str(run / run_folder.CONFIG), "--run-dir", str(run)]
    values = {".".join(path): value for path, value in leaves(config).items()}
    for key in PLACES_OF_FILES:
        for part in str(values[key]).split(","):
            file, _, name = part.strip().rpartition(":")
            if file.endswith(".py") and name:
                words += ["--plugin", file]
    return shlex.join(words)


def _config(run: Path) -> tuple[RunConfig | None, str]:
    try:
        return read_config(run), ""
    except CheckpointError as error:
        return None, reason(error)


def _json_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except CheckpointError:
        return {}


def _resumed(results: Mapping[str, Any], facts: Facts | None) -> tuple[tuple[int, tuple[str, ...]], ...]:
    if not results and facts is not None:
        return tuple((place.step, tuple(place.not_exact_because)) for place in facts.resumed)
    listed = results.get("resumed")
    found = []
    for entry in listed if isinstance(listed, list) else ():
        place = as_section({"entry": entry}, "entry")
        step, reasons = place.get("step"), place.get("not_exact_because")
        if isinstance(step, int) and isinstance(reasons, list):
            found.append((step, tuple(map(str, reasons))))
    return tuple(found)
