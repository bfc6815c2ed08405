"""The calls by which trainloop changes a disk, one function each.

Everything else in this package is put together from these, so that a test can count them, make any one of them fail, or
stop the process between two.
"""

from __future__ import annotations

import os
from pathlib import Path


def create(path: Path) -> int:
    """Make a new file with the permissions of the umask, and return its descriptor; a link at that name is refused."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)


def open_to_append(path: Path) -> int:
    """Open a file to grow, made if it is not there, and return its descriptor; a link at that name is refused."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)


def write(descriptor: int, content: memoryview) -> int:
    """Write what the system takes in one go, and return how many bytes that were."""
    return os.write(descriptor, content)


def truncate(descriptor: int, length: int) -> None:
    """Cut a file off after so many bytes."""
    os.ftruncate(descriptor, length)


def fsync(descriptor: int) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    os.fsync(descriptor)


def replace(source: Path, target: Path) -> None:
    """Rename a file; one that is there already is replaced."""
    source.replace(target)


def rename_folder(source: Path, target: Path) -> None:
    """Rename a folder; one with content that is there already is an error."""
    source.rename(target)


def unlink(path: Path) -> None:
    """Remove a file."""
    path.unlink()


def mkdir(path: Path) -> None:
    """Make a folder."""
    path.mkdir()


def rmdir(path: Path) -> None:
    """Remove an empty folder."""
    path.rmdir()
