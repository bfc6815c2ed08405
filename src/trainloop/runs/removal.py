"""What can go from a folder of runs, and its removal: nothing that another process holds, nothing that others wrote.

Four kinds. *temporary*: what a process that died left half done. *empty*: a run without a checkpoint or a result, of which
only its config and its metrics are left. *checkpoints*: those of a run that ended, whose weights stay. *best*: that of the
best epoch of such a run. Folders first lose their name, so that the end of the process between any two operations leaves
either the whole, or a hidden rest that the next call takes for temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from trainloop.checkpoint.manifest import MANIFEST, STATE, TENSORS
from trainloop.checkpoint.places import CHECKPOINTS, NAME
from trainloop.errors import CheckpointError, Fault, ResourceError, RunFolderBusyError
from trainloop.files import (
    LOCK_NAME,
    OWNER_NAME,
    disk_use,
    is_held,
    one_writer,
    operations,
    owner,
    plain_size,
    remove_flat_folder,
)
from trainloop.files.whole import beside, hidden_for
from trainloop.report import run_folder
from trainloop.runs.details import read_checkpoints
from trainloop.runs.overview import look_at, run_folders
from trainloop.runs.reading import read_json

Kind = Literal["temporary", "empty", "checkpoints", "best"]
KINDS: tuple[Kind, ...] = ("temporary", "empty", "checkpoints", "best")

IN_CHECKPOINT = frozenset({TENSORS, STATE, MANIFEST})
WITHOUT_RESULT = frozenset(
    {run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.METRICS, LOCK_NAME, OWNER_NAME},
)
WRITTEN_WHOLE = frozenset(
    {
        *{run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.METRICS, run_folder.SUMMARY},
        *{run_folder.WEIGHTS, run_folder.CURVES, OWNER_NAME},
    }
)


@dataclass(frozen=True)
class Removable:
    """Something that can go.

    Args:
        kind: see the head of this file.
        run: the run folder; None for the rest of one that a process was removing when it died.
        path: of what goes: a file or a folder.
        bytes: of its files.
    """

    kind: Kind
    run: Path | None
    path: Path
    bytes: int


@dataclass(frozen=True)
class Kept:
    """Something that stays though it looks like something that could go.

    Args:
        path: of it.
        why: it stays.
    """

    path: Path
    why: str


@dataclass(frozen=True)
class Plan:
    """What can go from a folder of runs.

    Args:
        items: all of it, of every kind.
        kept: what stays, and why.
    """

    items: tuple[Removable, ...]
    kept: tuple[Kept, ...]

    def of(self, kinds: Collection[Kind]) -> tuple[Removable, ...]:
        """Return what is of some kinds."""
        return tuple(item for item in self.items if item.kind in kinds)


@dataclass(frozen=True)
class Removal:
    """What went.

    Args:
        items: that are gone.
        kept: what stayed though it was to go, and why.
        faults: what the disk refused.
    """

    items: tuple[Removable, ...]
    kept: tuple[Kept, ...]
    faults: tuple[Fault, ...]


def find_removable(folder: Path) -> Plan:
    """Look for what can go from a folder of runs, or from one run folder; nothing is changed.

    Raises:
        UsageError: see :func:`~trainloop.runs.overview.run_folders`.
    """
    items: list[Removable] = []
    kept: list[Kept] = []
    runs = sorted(run_folders(folder))
    for run in runs:
        items += _in_run(run, kept)
    if runs != [folder]:
        items += _rests(folder)
    return Plan(tuple(items), tuple(kept))


def remove(items: Sequence[Removable]) -> Removal:
    """Remove things that :func:`find_removable` found, one run after the other, each under its lock.

    Each run is looked at again under its lock: what can no longer go stays.
    """
    gone: list[Removable] = []
    kept: list[Kept] = []
    faults: list[Fault] = []
    for run, group in groupby(items, lambda item: item.run):
        wanted = list(group)
        try:
            gone += _remove_rests(wanted) if run is None else _remove_in_run(run, wanted, kept)
        except RunFolderBusyError as error:
            kept.append(Kept(run or wanted[0].path, f"in use: {error.faults[0].found}"))
        except ResourceError as error:
            faults += error.faults
        except OSError as error:
            faults.append(
                Fault("this cannot be removed", str(run or wanted[0].path), found=error.strerror or str(error))
            )
    return Removal(tuple(gone), tuple(kept), tuple(faults))


def _in_run(run: Path, kept: list[Kept], *, is_ours: bool = False) -> Iterator[Removable]:
    """Yield what can go from a run.

    Args:
        run: the folder.
        kept: takes what stays.
        is_ours: this process holds the lock.
    """
    if run.is_symlink():
        kept.append(Kept(run, "a link; name the folder that it leads to"))
        return
    if not is_ours and is_held(run):
        kept.append(Kept(run, f"in use: {owner(run)}"))
        return
    row = look_at(run, is_ours=is_ours)
    if row.state == "no run":
        kept.append(Kept(run, f"no run: it {row.note}"))
        return
    if (run / CHECKPOINTS).is_symlink():
        kept.append(Kept(run / CHECKPOINTS, "a link"))
        return
    rests = [*_temporary_files(run), *_temporary_folders(run, kept)]
    yield from rests
    if row.state == "finished":
        yield from _checkpoints(run, kept)
    elif row.state == "no checkpoint":
        why = _why_not_empty(run, {rest.path for rest in rests})
        if why is not None:
            kept.append(Kept(run, why))
        else:
            yield Removable("empty", run, run, disk_use(run) - sum(rest.bytes for rest in rests))


def _temporary_files(run: Path) -> Iterator[Removable]:
    for path in sorted(run.iterdir()):
        if hidden_for(path.name) in WRITTEN_WHOLE and _is_plain(path):
            yield Removable("temporary", run, path, plain_size(path))


def _temporary_folders(run: Path, kept: list[Kept]) -> Iterator[Removable]:
    folder = run / CHECKPOINTS
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if NAME.fullmatch(hidden_for(path.name) or ""):
            if (stranger := _stranger(path, IN_CHECKPOINT)) is not None:
                kept.append(Kept(path, stranger))
            else:
                yield Removable("temporary", run, path, disk_use(path))


def _checkpoints(run: Path, kept: list[Kept]) -> Iterator[Removable]:
    _, rows = read_checkpoints(run)
    for row in rows:
        path = run / CHECKPOINTS / row.name
        if (stranger := _stranger(path, IN_CHECKPOINT)) is not None:
            kept.append(Kept(path, stranger))
        else:
            yield Removable("best" if row.is_best else "checkpoints", run, path, row.bytes)


def _why_not_empty(run: Path, going: Collection[Path]) -> str | None:
    """Return why a run without a checkpoint or a result is not to go; None where it may.

    Args:
        run: the folder.
        going: what goes from it anyway.
    """
    folder = run / CHECKPOINTS
    names = {path.name for path in run.iterdir() if path not in going}
    if CHECKPOINTS in names:
        if not folder.is_dir():
            return f"{CHECKPOINTS} in it is not a folder"
        for path in sorted(folder.iterdir()):
            if path not in going:
                return f"its {CHECKPOINTS} hold {path.name}, which trainloop did not write"
    own = WITHOUT_RESULT | {path.name for path in going} | {CHECKPOINTS}
    if (stranger := _stranger(run, own, besides=CHECKPOINTS)) is not None:
        return stranger
    if LOCK_NAME not in names:
        return f"no {LOCK_NAME}, so another program may have made it"
    if names & {run_folder.CONFIG, run_folder.METRICS}:
        try:
            environment = read_json(run / run_folder.ENVIRONMENT)
        except CheckpointError as error:
            return f"{run_folder.ENVIRONMENT}: {error.faults[0].found}, so another program may have made it"
        if not {"versions", "knobs", "data"} <= environment.keys():
            return f"{run_folder.ENVIRONMENT} is not of trainloop"
    return None


def _is_empty_folder(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and not any(path.iterdir())


def _is_plain(path: Path) -> bool:
    try:
        plain_size(path)
    except OSError:
        return False
    return True


def _stranger(folder: Path, own: Collection[str], *, besides: str = "") -> str | None:
    """Return what in a folder is not a plain file of ours, in words; None where all of it is."""
    if folder.is_symlink() or not folder.is_dir():
        return "not a folder"
    for path in sorted(folder.iterdir()):
        if path.name not in own:
            return f"it holds {path.name}, which trainloop did not write"
        if path.name != besides and not _is_plain(path):
            return f"{path.name} in it is not a plain file"
    return None


def _rests(folder: Path) -> Iterator[Removable]:
    """Yield what is left of runs that a process was removing when it died."""
    for path in sorted(folder.iterdir()):
        if hidden_for(path.name) is not None and _stranger(path, WITHOUT_RESULT) is None and not is_held(path):
            yield Removable("temporary", None, path, disk_use(path))


def _remove_rests(wanted: Sequence[Removable]) -> list[Removable]:
    for item in wanted:
        _remove_own(item.path, WITHOUT_RESULT)
    return list(wanted)


def _remove_in_run(run: Path, wanted: Sequence[Removable], kept: list[Kept]) -> list[Removable]:
    gone: list[Removable] = []
    if run.is_symlink() or not run.is_dir():
        return gone
    with one_writer(run):
        now = {(item.kind, item.path) for item in _in_run(run, [], is_ours=True)}
        # The folder of an empty run goes last, with its lock.
        for item in sorted(wanted, key=lambda item: item.kind == "empty"):
            if (item.kind, item.path) in now:
                _REMOVERS[item.kind](item)
                gone.append(item)
            else:
                kept.append(Kept(item.path, "it has changed since it was looked at"))
        if _is_empty_folder(run / CHECKPOINTS):
            operations.rmdir(run / CHECKPOINTS)
    return gone


def _remove_temporary(item: Removable) -> None:
    if item.path.is_dir():
        _remove_own(item.path, IN_CHECKPOINT)
    else:
        operations.unlink(item.path)


def _remove_checkpoint(item: Removable) -> None:
    _remove_own(item.path, IN_CHECKPOINT)


def _remove_empty_run(item: Removable) -> None:
    for rest in [*_temporary_files(item.path), *_temporary_folders(item.path, [])]:
        _remove_temporary(rest)
    if _is_empty_folder(item.path / CHECKPOINTS):
        operations.rmdir(item.path / CHECKPOINTS)
    _remove_own(item.path, WITHOUT_RESULT)


_REMOVERS: dict[Kind, Callable[[Removable], None]] = {
    "temporary": _remove_temporary,
    "empty": _remove_empty_run,
    "checkpoints": _remove_checkpoint,
    "best": _remove_checkpoint,
}


def _remove_own(folder: Path, own: Collection[str]) -> None:
    """Remove a folder with nothing but files of ours: it loses its name, is looked at again, and goes.

    Raises:
        OSError: something else lies in it by now; it has its name again then.
    """
    hidden = beside(folder)
    operations.rename_folder(folder, hidden)
    if (stranger := _stranger(hidden, own)) is not None:
        operations.rename_folder(hidden, folder)
        raise OSError(None, stranger)
    remove_flat_folder(hidden)
