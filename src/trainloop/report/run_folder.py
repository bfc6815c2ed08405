"""The run folder: what it is called, what it holds, and who may write it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from trainloop.errors import UsageError
from trainloop.files import (
    LOCK_NAME,
    make_folder,
    make_new_folder,
    one_writer,
    require_plain_file,
    write_bytes,
    write_text,
)

RUNS = Path("runs")
CONFIG = "config.yaml"
ENVIRONMENT = "env.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
WEIGHTS = "weights.safetensors"
CURVES = "curves.png"
PLAIN_FILES = (LOCK_NAME, CONFIG, ENVIRONMENT, METRICS, SUMMARY, WEIGHTS, CURVES)


class RunFolder:
    """A folder that one process writes; every file but the growing metrics appears whole.

    Args:
        path: the folder; it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metrics_path(self) -> Path:
        """Return where the metrics lines go."""
        return self.path / METRICS

    def write_config(self, text: str) -> None:
        """Write the resolved config."""
        write_text(self.path / CONFIG, text)

    def write_environment(self, facts: Mapping[str, Any]) -> None:
        """Write versions, hardware and knobs."""
        write_text(self.path / ENVIRONMENT, as_json(facts))

    def write_summary(self, facts: Mapping[str, Any]) -> None:
        """Write the results; the last file of a run, so that its presence means that the run is complete."""
        write_text(self.path / SUMMARY, as_json(facts))

    def write_weights(self, content: bytes) -> None:
        """Write the final weights, already in safetensors form."""
        write_bytes(self.path / WEIGHTS, content)

    def write_curves(self, png: bytes) -> None:
        """Write the picture of the curves."""
        write_bytes(self.path / CURVES, png)


def as_json(facts: Mapping[str, Any]) -> str:
    """Return indented JSON with full precision, one newline at the end; NaN is an error."""
    return json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def open_run_folder(path: Path | None, name: str, *, unfinished: bool = False) -> Iterator[RunFolder]:
    """Make the folder of a run and hold its lock; a folder made here goes again if the run leaves nothing in it.

    Args:
        path: the folder that was asked for; None makes ``runs/<name>-<date>-<time>``.
        name: start of the automatic name.
        unfinished: allow a folder with a run that has not ended, to go on with it.

    Raises:
        UsageError: the folder holds a run already, or is a file, or a link or a pipe stands where a run has a file.
        RunFolderBusyError: another process writes it.
        ResourceError: it cannot be written.
    """
    existed = path is not None and _exists(path)
    folder = _given(path) if path is not None else _automatic(name)
    # Before the first of them is opened, the lock included.
    for file in PLAIN_FILES:
        require_plain_file(folder / file)
    with one_writer(folder, remove_unused=not existed):
        _refuse_a_second_run(folder, unfinished=unfinished)
        yield RunFolder(folder)


def _exists(path: Path) -> bool:
    """Say whether there is such a path.

    Raises:
        UsageError: no path can be called that.
    """
    try:
        return path.exists()
    except OSError as error:
        shown = f"{str(path)[:40]}… ({len(str(path)):,} characters)" if len(str(path)) > 80 else str(path)
        raise UsageError(
            "there can be no folder of this name", where="--run-dir", found=shown, expected=error.strerror or ""
        ) from error


def _given(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise UsageError(
            "the run folder is a file",
            where=str(path),
            expected="a folder, or a path that does not exist yet",
            help="choose another --run-dir",
        )
    return make_folder(path)


def _automatic(name: str) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    attempt = 1
    while not make_new_folder(folder := RUNS / (stem if attempt == 1 else f"{stem}-{attempt}")):
        attempt += 1
    return folder


def is_finished(folder: Path) -> bool:
    """Say whether a folder holds a run that has ended."""
    return (folder / SUMMARY).exists()


def has_begun(folder: Path) -> bool:
    """Say whether a folder holds a run, ended or not."""
    return is_finished(folder) or (folder / METRICS).exists()


def _refuse_a_second_run(folder: Path, *, unfinished: bool) -> None:
    found = ", ".join(sorted(file.name for file in folder.iterdir() if not file.name.startswith(".")))
    if is_finished(folder):
        raise UsageError(
            "the run in this folder is finished, and nothing is written over it",
            where=str(folder),
            found=found,
            expected="a folder without a run, or with one that has not ended",
            help="choose another --run-dir; to train on from its end, name the last of its checkpoints and a new folder: "
            "--resume RUN/checkpoints/NAME --run-dir OTHER --allow-changed --set train.epochs=N",
        )
    if has_begun(folder) and not unfinished:
        raise UsageError(
            "this folder holds an unfinished run already, and a second one would overwrite it",
            where=str(folder),
            found=found,
            expected="a folder without a run",
            help="choose another --run-dir; to go on with it: --resume auto",
        )
