"""Whole files: a hidden sibling is written, flushed to the disk, renamed, and the folder's entry is flushed too."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from trainloop.files import operations
from trainloop.files.refusal import writing

TEMPORARY_SUFFIX = ".tmp"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file: temporary sibling, fsync, replace, fsync of the folder.

    Raises:
        ResourceError: the disk is full, read-only, or the folder may not be written.
    """
    with writing(path, needed=len(content)):
        make_parents(path)
        temporary = beside(path)
        try:
            write_new(temporary, content)
            operations.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                operations.unlink(temporary)
            raise
        sync_folder(path.parent)


def require_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before the work for it: a hidden one is made where it would stand, and removed.

    Where its folder is still to be made, that is in the first folder above it that stands already.

    Raises:
        ResourceError: the disk is full, read-only, or the folder may not be written.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    with writing(path):
        temporary = beside(folder / path.name)
        write_new(temporary, b"")
        operations.unlink(temporary)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file with line feeds as line ends; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, and flush it to the disk."""
    descriptor = operations.create(path)
    try:
        write_all(descriptor, content)
        operations.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    view = memoryview(content)
    while view:
        view = view[operations.write(descriptor, view) :]


def beside(path: Path) -> Path:
    """Return a hidden name beside ``path`` that nobody else has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def hidden_for(name: str) -> str | None:
    """Return the name that such a hidden name stands for; None for every other name."""
    match = re.fullmatch(r"\.(.+)\.\d+-[0-9a-f]{8}" + re.escape(TEMPORARY_SUFFIX), name)
    return match[1] if match else None


def half_done(folder: Path) -> list[Path]:
    """Return what stands in a folder under such a hidden name: left by a process that died, if nobody writes the folder."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)]


def make_parents(path: Path) -> None:
    """Make the folder that ``path`` is to stand in, and those above it."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        with contextlib.suppress(FileExistsError):
            make_lasting(parent)


def make_lasting(folder: Path) -> None:
    """Make a folder whose name survives a power cut; its parent stands already.

    Raises:
        FileExistsError: something has this name.
    """
    operations.mkdir(folder)
    try:
        sync_folder(folder.parent)
    except OSError:
        with contextlib.suppress(OSError):
            operations.rmdir(folder)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        operations.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged_folder(path: Path, *, needed: int | None = None) -> Iterator[Path]:
    """Fill a folder under a hidden name and give it its own at the end: it appears with all its files or not at all.

    Args:
        path: the folder to be; nothing stands there yet.
        needed: bytes of all its files, if known.

    Yields:
        the hidden folder beside it, empty; files are put into it by :func:`write_new`.

    Raises:
        ResourceError: the disk is full, read-only, or may not be written.
    """
    with writing(path, needed=needed):
        make_parents(path)
        temporary = beside(path)
        operations.mkdir(temporary)
        try:
            yield temporary
            sync_folder(temporary)
            operations.rename_folder(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_whole(temporary)
            raise
        sync_folder(path.parent)


def remove_whole(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; of a link only the link."""
    if path.is_symlink() or not path.is_dir():
        operations.unlink(path)
        return
    for entry in sorted(path.iterdir()):
        remove_whole(entry)
    operations.rmdir(path)


def remove_flat_folder(folder: Path) -> None:
    """Remove a folder and the files in it; one that holds a further folder is an error."""
    for file in sorted(folder.iterdir()):
        operations.unlink(file)
    operations.rmdir(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; it first loses its name, so that half of one is never taken for the whole."""
    hidden = beside(folder)
    operations.rename_folder(folder, hidden)
    remove_whole(hidden)
