"""Folders: made once, held by one process, removed when nothing is in them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from trainloop.errors import RunFolderBusyError
from trainloop.files import operations
from trainloop.files.plain import read_plain
from trainloop.files.refusal import writing
from trainloop.files.whole import make_parents, write_text

LOCK_NAME = ".lock"
OWNER_NAME = ".owner"
LONGEST_OWNER = 1_000
PATIENCE_SECONDS = 0.2
"""for which a lock is asked for: one that :func:`is_held` holds to ask is let go long before"""


def make_folder(path: Path) -> Path:
    """Make a folder and its parents; an existing one is fine."""
    with writing(path):
        make_parents(path)
        try:
            operations.mkdir(path)
        except FileExistsError:
            if not path.is_dir():
                raise
    return path


def make_new_folder(path: Path) -> bool:
    """Make a folder that must not exist; return False when it does (so that two processes never share one)."""
    with writing(path):
        make_parents(path)
        try:
            operations.mkdir(path)
        except FileExistsError:
            return False
    return True


def remove_if_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but its own lock; leave every other one as it is."""
    if folder.is_dir() and {file.name for file in folder.iterdir()} <= {LOCK_NAME}:
        (folder / LOCK_NAME).unlink(missing_ok=True)
        operations.rmdir(folder)


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the operating system drops it when the process dies, however it dies.

    Raises:
        RunFolderBusyError: another process holds it; the message names that process.
    """
    from filelock import FileLock, Timeout

    lock_path, owner_path = folder / LOCK_NAME, folder / OWNER_NAME
    lock = FileLock(lock_path)
    with writing(lock_path):
        try:
            lock.acquire(timeout=PATIENCE_SECONDS, poll_interval=PATIENCE_SECONDS / 10)
        except Timeout as error:
            raise RunFolderBusyError(
                "another process is writing this folder",
                where=str(folder),
                found=owner(folder),
                help="wait for it to end, or choose another folder",
            ) from error
    try:
        since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        write_text(owner_path, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n")
        yield
    finally:
        owner_path.unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Say whether a process writes a folder just now, or whether nobody can tell.

    It is asked with a shared lock that is let go at once: the file is not changed, and two who ask see nothing of each other.
    """
    import fcntl

    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def owner(folder: Path) -> str:
    """Return what the process that writes a folder says of itself."""
    try:
        return read_plain(folder / OWNER_NAME, LONGEST_OWNER).decode("utf-8", errors="replace").strip()
    except OSError:
        return "an unknown process"
