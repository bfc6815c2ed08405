"""Put verified binary files in their folder: ``trainloop data import``, and the last act of every fetch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from trainloop import files as disk
from trainloop.data.cifar10 import FILES, BatchFile, find_fault
from trainloop.data.sources import forms
from trainloop.data.sources.listener import Listener
from trainloop.errors import DataError


def import_copy(path: Path, to: Path, *, listener: Listener | None = None, files: Sequence[BatchFile] = FILES) -> None:
    """Import a copy of CIFAR-10 in any of the forms of forms.py.

    Args:
        path: the archive or folder.
        to: the folder that the binary files are to be in.
        listener: hears the progress.
        files: what must come out.

    Raises:
        DataError: the copy is not recognised, damaged, or not CIFAR-10; no file of it that is wrong was written.
        ResourceError: the disk is full or may not be written.
        RunFolderBusyError: another process is writing the folder.
    """
    contents = forms.contents(path, files)
    disk.make_folder(to)
    with disk.one_writer(to):
        check_space(to, sum(file.size for file in files))
        store(contents, to, origin=path, listener=listener or Listener(), files=files)


def store(
    contents: Iterable[tuple[BatchFile, bytes]],
    to: Path,
    *,
    origin: Path,
    listener: Listener,
    files: Sequence[BatchFile] = FILES,
) -> None:
    """Write each content whose size and SHA-256 are right; stop at the first that is not.

    Args:
        contents: binary files, not verified yet.
        to: an existing folder, locked by the caller.
        origin: where the contents came from, for the message.
        listener: hears the progress.
        files: the whole set.
    """
    total = sum(file.size for file in files)
    done = 0
    for file, content in contents:
        help = "get it again from elsewhere, or run `trainloop data fetch`"
        fault = find_fault(content, file, files, where=f"{file.name} of {origin}", help=help)
        if fault:
            raise DataError([fault])
        disk.write_bytes(to / file.name, content)
        done += file.size
        listener.moved("verified and stored", done, total)


def check_space(folder: Path, needed: int) -> None:
    """Raise ResourceError when the disk that holds ``folder`` has less than ``needed`` bytes free."""
    disk.require_space(
        folder,
        needed,
        what="not enough space for CIFAR-10",
        help="free some space, or choose another folder (--to DIR, or TRAINLOOP_DATA)",
    )
