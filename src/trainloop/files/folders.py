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
from trainloop.files.refusal import writing
from trainloop.files.whole import make_lasting, make_parents, write_text

LOCK_NAME = ".lock"
OWNER_NAME = ".owner"
OWNER = re.compile(r"process (\d{1,10}) on (.+), since .+")
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
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderBusyError(
                "another process is writing this folder",
                where=str(folder),
                found=_owner(owner_path),
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
    """Say whether a process writes a folder just now."""
    from filelock import FileLock, Timeout

    path = folder / LOCK_NAME
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _owner(path: Path) -> str:
    """Return who holds a lock, as the holder itself writes it just after it has taken the lock."""
    deadline, text = time.monotonic() + OWNER_SECONDS, ""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
        if text and not _has_ended(text):
            break
        time.sleep(0.01)
    return text or "an unknown process"


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
