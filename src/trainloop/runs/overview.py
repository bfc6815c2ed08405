"""Each run in one row: what state it is in, how far it is, what came out. Quick enough for a thousand of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trainloop.checkpoint.layout import Facts
from trainloop.checkpoint.manifest import glance
from trainloop.checkpoint.places import CHECKPOINTS, checkpoint_folders
from trainloop.errors import CheckpointError, TrainloopError, UsageError
from trainloop.files import LOCK_NAME, OWNER_NAME, disk_use, is_held, owner, plain_size
from trainloop.report import run_folder
from trainloop.runs.metrics import last_step
from trainloop.runs.reading import (
    as_count,
    as_number,
    as_section,
    as_text,
    read_config,
    read_json,
    reason,
    require_whole_weights,
    total_steps,
    unreadable,
    validated,
)

State = Literal["finished", "running", "interrupted", "no checkpoint", "damaged", "no run"]
SIGNS_OF_LIFE = (run_folder.CONFIG, run_folder.METRICS, run_folder.SUMMARY)
MOST_NAMED = 4


@dataclass(frozen=True)
class RunOverview:
    """One row.

    Args:
        path: the run folder.
        state: finished; running, a process holds it; interrupted, it can be gone on with; no checkpoint, it would begin anew;
            damaged, some file of it is not what it was; or the folder holds no run.
        note: who holds it, or what is wrong; empty where there is nothing to say.
        mode, model, dataset: as in the config; None where it cannot be read.
        step: updates made: all of them, those that a process has written down, or those that are saved.
        total_steps: of the whole run.
        test_accuracy: in [0, 1], of a finished run.
        seconds: the time that the steps took.
        bytes: of every file in the folder.
        changed: when the run last wrote something, in seconds since 1970.
    """

    path: Path
    state: State
    note: str = ""
    mode: str | None = None
    model: str | None = None
    dataset: str | None = None
    step: int | None = None
    total_steps: int | None = None
    test_accuracy: float | None = None
    seconds: float | None = None
    bytes: int = 0
    changed: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, the name of the folder besides."""
        return {"name": self.path.name, **vars(self), "path": str(self.path)}


def run_folders(folder: Path) -> list[Path]:
    """Return the folders that runs may lie in: those in ``folder``, or itself if it is a run folder.

    Raises:
        UsageError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(
            "this is a file, not a folder of runs" if folder.exists() else "there is no such folder",
            where=str(folder),
            expected="a folder with run folders in it, such as runs",
        )
    if (folder / run_folder.ENVIRONMENT).exists() or (folder / run_folder.SUMMARY).exists():
        return [folder]
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError as error:
        raise UsageError("this folder cannot be read", where=str(folder), found=error.strerror or str(error)) from error


def list_runs(folder: Path) -> list[RunOverview]:
    """Look at every run in a folder; the one that wrote something last comes first.

    Raises:
        UsageError: see :func:`run_folders`.
    """
    rows = [look_at(path) for path in run_folders(folder)]
    return sorted(rows, key=lambda row: (-row.changed, row.path.name))


def look_at(run: Path, *, is_ours: bool = False) -> RunOverview:
    """Return the row of a folder, whatever is in it.

    Args:
        run: the folder.
        is_ours: this process holds its lock, so that nobody needs to be asked.
    """
    try:
        row = _judge(run, is_ours=is_ours)
    except TrainloopError as error:
        row = RunOverview(run, "damaged", reason(error))
    except (OSError, ValueError) as error:
        row = RunOverview(run, "damaged", f"{type(error).__name__}: {error}")
    return replace(row, bytes=disk_use(run), changed=last_change(run))


def last_change(run: Path) -> float:
    """Return when a run last wrote something, in seconds since 1970; 0 where nobody can tell."""
    times = [time for name in SIGNS_OF_LIFE if (time := _mtime(run / name)) is not None]
    # The folder's own time changes with every lock, so it counts only where there is no file.
    return max(times) if times else _mtime(run) or 0.0


def _mtime(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _judge(run: Path, *, is_ours: bool) -> RunOverview:
    names = {path.name for path in run.iterdir()}
    if run_folder.SUMMARY in names:
        return _finished(run)
    if LOCK_NAME in names:
        try:
            plain_size(run / LOCK_NAME)
        except OSError as error:
            raise unreadable(run / LOCK_NAME, error.strerror or str(error)) from error
        if not is_ours and is_held(run):
            return replace(_begun(run, names), state="running", note=owner(run))
    if not names & {run_folder.CONFIG, run_folder.METRICS, run_folder.ENVIRONMENT, CHECKPOINTS, LOCK_NAME, OWNER_NAME}:
        return RunOverview(run, "no run", f"holds {_named(names)}")
    return _unfinished(run, names)


def _named(names: set[str]) -> str:
    shown = sorted(names)[:MOST_NAMED]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return (", ".join(shown) + more) or "nothing"


def _finished(run: Path) -> RunOverview:
    summary = read_json(run / run_folder.SUMMARY)
    row = RunOverview(
        run,
        "finished",
        mode=as_text(summary, "mode"),
        model=as_text(summary, "model"),
        dataset=as_text(summary, "dataset"),
        step=as_count(summary, "steps"),
        total_steps=as_count(summary, "steps"),
        test_accuracy=as_number(summary, "test_accuracy"),
        seconds=as_number(summary, "seconds"),
    )
    for name in ("mode", "model", "dataset", "step", "test_accuracy", "seconds"):
        if getattr(row, name) is None:
            key = "steps" if name == "step" else name
            return replace(row, state="damaged", note=f"{run_folder.SUMMARY}: {key} is missing or of a wrong type")
    try:
        require_whole_weights(run / run_folder.WEIGHTS)
    except CheckpointError as error:
        return replace(row, state="damaged", note=reason(error))
    return row


def _unfinished(run: Path, names: set[str]) -> RunOverview:
    rejected: list[str] = []
    for path in checkpoint_folders(run):
        try:
            facts = glance(path)
        except CheckpointError as error:
            rejected.append(f"{path.name}: {reason(error)}")
            continue
        note = f"passed over {'; '.join(rejected)}" if rejected else ""
        return replace(_at(run, facts), note=note)
    if rejected:
        more = f", and {len(rejected) - 1} more" if len(rejected) > 1 else ""
        return replace(_begun(run, names), state="damaged", note=f"no checkpoint is whole: {rejected[0]}{more}")
    return _begun(run, names)


def _at(run: Path, facts: Facts) -> RunOverview:
    """Return the row of a run that can be gone on with."""
    config = validated(facts.config)
    return RunOverview(
        run,
        "interrupted",
        mode=as_text(facts.config, "mode"),
        model=as_text(as_section(facts.config, "model"), "name"),
        dataset=as_text(as_section(facts.config, "data"), "dataset"),
        step=facts.position.step,
        total_steps=total_steps(config, _environment(run)) if config else None,
        seconds=float(facts.position.seconds),
    )


def _begun(run: Path, names: set[str]) -> RunOverview:
    """Return the row of a run of which its config and its metrics say how far it is."""
    step = last_step(run / run_folder.METRICS)
    row = RunOverview(run, "no checkpoint", step=step.step if step else 0, seconds=step.seconds if step else None)
    if run_folder.CONFIG not in names:
        return row
    try:
        config = read_config(run)
    except CheckpointError as error:
        return replace(row, state="damaged", note=reason(error))
    return replace(
        row,
        mode=config.mode,
        model=config.model.name,
        dataset=config.data.dataset,
        total_steps=total_steps(config, _environment(run)),
    )


def _environment(run: Path) -> Mapping[str, Any]:
    try:
        return read_json(run / run_folder.ENVIRONMENT)
    except CheckpointError:
        return {}
