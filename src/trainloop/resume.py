"""Where a run begins: anew, or from a checkpoint of a run that did not end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainloop.checkpoint.capture import Origin
from trainloop.checkpoint.folder import read_checkpoint
from trainloop.checkpoint.layout import Saved
from trainloop.checkpoint.manifest import MANIFEST
from trainloop.checkpoint.same_run import compare_runs, differing_keys
from trainloop.checkpoint.store import CheckpointStore, Found
from trainloop.config import load_config
from trainloop.config.flatten import flat
from trainloop.config.schema import RunConfig
from trainloop.errors import CheckpointError, Fault, RunFolderBusyError, TrainloopError, UsageError
from trainloop.files import is_held, require_plain_file
from trainloop.plugin import first_line
from trainloop.report import run_folder
from trainloop.report.curves import History
from trainloop.report.json_lines import read_events
from trainloop.report.run_folder import RunFolder, open_run_folder
from trainloop.runs.naming import find_run

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Start:
    """A run folder that is held, and where its run begins.

    Args:
        folder: of the run.
        store: its checkpoints.
        path: the checkpoint that the run goes on from; None for a run that begins.
        saved: its content.
        metrics: the lines of the steps before it.
        not_exact_because: what differs from the run that saved it, where the bits may differ for it.
    """

    folder: RunFolder
    store: CheckpointStore
    path: Path | None = None
    saved: Saved | None = None
    metrics: bytes = b""
    not_exact_because: tuple[str, ...] = ()


@contextlib.contextmanager
def open_run(
    resume: str, run_dir: Path | None, name: str, config: RunConfig, announce: Callable[[str], None]
) -> Iterator[tuple[RunFolder, Path | None]]:
    """Hold the folder that a run is to be written in.

    Args:
        resume: ``auto``, ``none``, or the path of a run folder or of a checkpoint.
        run_dir: the folder that was asked for, if any.
        name: start of an automatic name.
        config: of the run.
        announce: told which unfinished run is gone on with.

    Yields:
        the folder, and the checkpoint that was asked for by name.

    Raises:
        UsageError: the folder holds another run, or ``resume`` names nothing to go on from.
        RunFolderBusyError: another process writes it.
    """
    checkpoint: Path | None = None
    if resume == AUTO and run_dir is None:
        candidates, others = unfinished_runs(name, config)
        for candidate in candidates:
            with contextlib.ExitStack() as stack:
                try:
                    folder = stack.enter_context(open_run_folder(candidate, name, unfinished=True))
                except (RunFolderBusyError, UsageError):
                    continue
                announce(f"going on with the unfinished run {candidate} (--resume none begins anew)")
                yield folder, None
                return
        for other, keys in others[:1]:
            announce(
                f"begins anew, for the unfinished run {other} differs in {', '.join(keys)} "
                f"(--resume {other} --allow-changed goes on with it all the same)"
            )
    elif resume not in (AUTO, NONE):
        run_dir, checkpoint = _named(_meant(resume), run_dir)
    with open_run_folder(run_dir, name, unfinished=resume != NONE) as folder:
        yield folder, checkpoint


def unfinished_runs(name: str, config: RunConfig) -> tuple[list[Path], list[tuple[Path, list[str]]]]:
    """Return the runs of this name that have a checkpoint, no end, and no process, the newest first.

    Returns:
        those of this config, up to keys that have no effect on the result; and others with the keys that differ.
    """
    found, others = [], []
    now = flat(config.model_dump(mode="json"))
    for folder in sorted(run_folder.RUNS.glob(f"{name}-[0-9]*"), reverse=True):
        if not run_folder.is_finished(folder) and CheckpointStore(folder).folders() and not is_held(folder):
            with contextlib.suppress(TrainloopError):
                then = flat(load_config(folder / run_folder.CONFIG).config.model_dump(mode="json"))
                if keys := differing_keys(then, now):
                    others.append((folder, keys))
                else:
                    found.append(folder)
    return found, others


def find_start(folder: RunFolder, checkpoint: Path | None, config: RunConfig, announce: Callable[[str], None]) -> Start:
    """Read the checkpoint that a run goes on from, if there is one.

    Args:
        folder: of the run, held.
        checkpoint: the one that was asked for; None takes the furthest that verifies.
        config: of the run.
        announce: told which checkpoints are passed over, and why.

    Raises:
        CheckpointError: the one that was asked for is damaged, or all of them are, or the metrics before it are lost.
        UsageError: the folder holds an unfinished run of another config, and no checkpoint of it.
    """
    store = CheckpointStore(folder.path, config.checkpoint.keep)
    found = Found(checkpoint, read_checkpoint(checkpoint), ()) if checkpoint else store.newest()
    for path, error in found.rejected:
        announce(f"passed over {path}: {_in_one_line(error)}")
    if found.path is None or found.saved is None:
        if found.rejected:
            raise _all_damaged(found)
        _require_same_config(folder, config)
        if run_folder.has_begun(folder.path):
            announce(f"begins anew in {folder.path}: the run in it left no checkpoint")
        return Start(folder, store)
    return Start(folder, store, found.path, found.saved, _metrics_before(found.path, found.saved))


def admit(start: Start, origin: Origin, *, allow_changed: bool) -> Start:
    """Judge whether the run of a checkpoint is the one that is to go on.

    Args:
        start: with a checkpoint.
        origin: of the present run.
        allow_changed: go on as another run too.

    Returns:
        the start, with what makes the bits differ.

    Raises:
        CheckpointError: it is another run; every fact that differs is named.
    """
    assert start.saved is not None
    comparison = compare_runs(start.saved.facts, origin)
    if comparison.other and not allow_changed:
        raise CheckpointError(
            [
                Fault(
                    f"this run is not the one that was saved: {difference.what} differs",
                    where=str(start.path) if number == 0 else "",
                    found=f"now {difference.now}",
                    expected=difference.saved,
                    help="begin anew in another folder (--resume none), or go on all the same (--allow-changed)"
                    if number == len(comparison.other) - 1
                    else "",
                )
                for number, difference in enumerate(comparison.other)
            ]
        )
    reasons = [str(difference) for difference in (*comparison.inexact, *comparison.other)]
    saved = start.saved
    if any(difference.what == "optimizer.name" for difference in comparison.other):
        saved = without_optimizer(saved)
        reasons.append("what the optimizer remembered is left out")
    return replace(start, saved=saved, not_exact_because=tuple(reasons))


def without_optimizer(saved: Saved) -> Saved:
    """Return a checkpoint without what its optimizer remembered: another optimizer has no use for it."""
    tensors = {name: tensor for name, tensor in saved.tensors.items() if not name.startswith("optimizer/")}
    return Saved(tensors, saved.facts.model_copy(update={"optimizer_numbers": {}}))


def history_before(start: Start) -> History:
    """Return the curves of the steps before a checkpoint.

    Raises:
        CheckpointError: the metrics file is damaged.
    """
    history = History()
    try:
        for event in read_events(start.metrics.decode()):
            history.handle(event)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            "the metrics of this run are damaged",
            where=str(start.folder.metrics_path),
            found=first_line(error),
            expected="the lines that the run wrote",
            help="restore the file, or begin anew in another folder",
        ) from error
    return history


def _meant(text: str) -> Path:
    """Return the run or the checkpoint that a text means: a path, or a run in ``runs/`` as the runs commands name it."""
    # What can be no path, such as a name that is too long, is no run either.
    with contextlib.suppress(OSError):
        if (Path(text) / MANIFEST).exists():
            return Path(text)
    return find_run(text)


def _named(path: Path, run_dir: Path | None) -> tuple[Path | None, Path | None]:
    """Return the run folder and the checkpoint that ``--resume PATH`` means."""
    if (path / MANIFEST).exists():
        if run_dir is not None and run_folder.has_begun(run_dir) and run_dir.resolve() != path.resolve().parents[1]:
            raise UsageError(
                "this folder holds another run, which going on here would overwrite",
                where="--run-dir",
                found=str(run_dir),
                expected=f"{path.parents[1]}, or a folder without a run",
                help="choose another --run-dir, or leave it out",
            )
        return run_dir, path
    if (path / run_folder.CONFIG).exists():
        if run_dir is not None and run_dir.resolve() != path.resolve():
            raise UsageError(
                "a run goes on in its own folder",
                where="--run-dir",
                found=str(run_dir),
                expected=str(path),
                help="leave --run-dir out; or name one of its checkpoints, to go on from it in another folder",
            )
        return path, None
    raise UsageError(
        "there is nothing to go on from",
        where="--resume",
        found=str(path),
        expected="auto, none, a run folder, or a folder in its checkpoints",
        help="`trainloop runs list` names the runs, `trainloop runs show RUN` their checkpoints",
    )


def _metrics_before(checkpoint: Path, saved: Saved) -> bytes:
    """Return the part of the metrics file that belongs to a checkpoint."""
    file, length = checkpoint.resolve().parents[1] / run_folder.METRICS, saved.facts.metrics_bytes
    require_plain_file(file)
    try:
        with file.open("rb") as stream:
            # Not `read(length)` at once: the length is from a file, and as many bytes would be asked of the memory.
            content = stream.read(min(length, file.stat().st_size))
    except OSError as error:
        raise CheckpointError("the metrics of this run cannot be read", where=str(file), found=str(error)) from error
    if len(content) < length:
        raise CheckpointError(
            "the metrics of this run are shorter than when the checkpoint was saved",
            where=str(file),
            found=f"{len(content):,} bytes",
            expected=f"{length:,} bytes",
            help="restore the file, or begin anew in another folder",
        )
    return content


def _require_same_config(folder: RunFolder, config: RunConfig) -> None:
    """Refuse to overwrite a run of another config that was killed before its first checkpoint."""
    file = folder.path / run_folder.CONFIG
    if not run_folder.has_begun(folder.path) or not file.exists():
        return
    if load_config(file).config != config:
        raise UsageError(
            "this folder holds an unfinished run of another config",
            where=str(folder.path),
            expected="a folder without a run, or the same config",
            help="choose another --run-dir, or remove this folder",
        )


def _all_damaged(found: Found) -> CheckpointError:
    faults: Sequence[Fault] = [error.faults[0] for _, error in found.rejected]
    last = faults[-1]
    advice = "restore one of them, or begin anew: --resume none with another --run-dir"
    return CheckpointError([*faults[:-1], Fault(last.what, last.where, last.found, last.expected, advice)])


def _in_one_line(error: TrainloopError) -> str:
    fault = error.faults[0]
    return f"{fault.what}: {Path(fault.where).name} has {fault.found}, expected {fault.expected}"
