"""Folders: made once, held by one process, removed when nothing is in them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from trainloop.errors import RunFolderBusyError
from trainloop.files import operations
from trainloop.files.plain import read_plain
from trainloop.files.refusal import writing
from trainloop.files.whole import make_lasting, make_parents, write_text

LOCK_NAME = ".lock"
OWNER_NAME = ".owner"
OWNER = re.compile(r"process (\d{1,10}) on (.+), since .+")
UNKNOWN = "an unknown process"
LONGEST_OWNER = 1_000
PATIENCE_SECONDS = 0.2
"""for which a lock is asked for: one that :func:`is_held` holds to ask is let go long before"""
OWNER_SECONDS = 1.0
"""how long to wait for the name of the process that has just taken a lock"""


def make_folder(path: Path) -> Path:
    """Make a folder and its parents; an existing one is fine."""
    with writing(path):
        make_parents(path)
        try:
            make_lasting(path)
        except FileExistsError:
            if not path.is_dir():
                raise
    return path


def make_new_folder(path: Path) -> bool:
    """Make a folder that must not exist; return False when it does (so that two processes never share one)."""
    with writing(path):
        make_parents(path)
        try:
            make_lasting(path)
        except FileExistsError:
            return False
    return True


def remove_if_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but its own lock; leave every other one as it is."""
    if folder.is_dir() and {file.name for file in folder.iterdir()} <= {LOCK_NAME}:
        (folder / LOCK_NAME).unlink(missing_ok=True)
        operations.rmdir(folder)


@contextlib.contextmanager
def one_writer(folder: Path, *, remove_unused: bool = False) -> Iterator[None]:
    """Hold the lock of a folder; the operating system drops it when the process dies, however it dies.

    Args:
        folder: it exists.
        remove_unused: remove the folder at the end if nothing but the lock is in it. Only who holds the lock may do that:
            without its file two others could each hold one of their own.

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
                found=_present_owner(folder),
                help="wait for it to end, or choose another folder",
            ) from error
    try:
        since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        write_text(owner_path, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n")
        yield
    finally:
        # A disk that refuses this as well must not hide what it refused before.
        with contextlib.suppress(OSError):
            owner_path.unlink(missing_ok=True)
            if remove_unused:
                remove_if_unused(folder)
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
        return UNKNOWN


def _present_owner(folder: Path) -> str:
    """Return who holds a lock; it writes so itself just after it has taken the lock, so that is waited for."""
    deadline = time.monotonic() + OWNER_SECONDS
    while (text := owner(folder)) == UNKNOWN or _has_ended(text):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return text


def _has_ended(owner: str) -> bool:
    """Say whether the process that a text names ran on this machine and is gone: what it left says nothing of today."""
    named = OWNER.fullmatch(owner)
    if named is None or named[2] != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
