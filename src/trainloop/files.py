"""Every file that trainloop writes goes through here, and so does the lock of a run folder.

A file appears under its final name whole or not at all: it is written as a hidden sibling, flushed to the disk, renamed,
and the folder entry is flushed too. What the disk refuses becomes a ResourceError that names the path, the bytes
needed and the bytes free.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainloop.errors import ResourceError, RunFolderBusyError, TrainloopError

LOCK_NAME = ".lock"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file: temporary sibling, fsync, replace, fsync of the folder.

    Raises:
        ResourceError: the disk is full, read-only, or the folder may not be written.
    """
    with writing(path, needed=len(content)), new_sibling(path) as (temporary, stream):
        stream.write(content)
        publish(stream, temporary, path)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file with line feeds as line ends; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def new_sibling(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new hidden file beside ``path``; it is removed at the end unless :func:`publish` renamed it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield temporary, stream
    finally:
        temporary.unlink(missing_ok=True)


def publish(stream: BinaryIO, temporary: Path, path: Path) -> None:
    """Flush ``temporary`` to the disk, give it the permissions of the umask and rename it to ``path``."""
    stream.flush()
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(stream.fileno(), 0o666 & ~umask)
    os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> Path:
    """Make a folder and its parents; an existing one is fine."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def make_new_folder(path: Path) -> bool:
    """Make a folder that must not exist; return False when it does (so that two processes never share one)."""
    make_folder(path.parent)
    with writing(path):
        try:
            path.mkdir()
        except FileExistsError:
            return False
    return True


def remove_if_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but its own lock; leave every other one as it is."""
    if folder.is_dir() and {file.name for file in folder.iterdir()} <= {LOCK_NAME}:
        (folder / LOCK_NAME).unlink(missing_ok=True)
        folder.rmdir()


class AppendFile:
    """A text file that grows by whole lines, each call flushed to the operating system in one write.

    Args:
        path: the file; an existing one is continued unless ``fresh``.
        fresh: begin with an empty file.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        with writing(path):
            self._stream: BinaryIO = path.open("wb" if fresh else "ab", buffering=0)

    def append(self, text: str) -> None:
        """Append ``text``, which ends in a newline."""
        content = text.encode("utf-8")
        with writing(self.path, needed=len(content)):
            self._write_all(content)

    def append_bytes(self, content: bytes) -> None:
        """Append raw bytes (a part of a download)."""
        with writing(self.path, needed=len(content)):
            self._write_all(content)

    def _write_all(self, content: bytes) -> None:
        start = os.fstat(self._stream.fileno()).st_size
        view = memoryview(content)
        try:
            while view:
                view = view[self._stream.write(view) :]
        except OSError:
            # A reader must never meet half a line.
            os.ftruncate(self._stream.fileno(), start)
            raise

    def close(self) -> None:
        """Flush to the disk and close."""
        if not self._stream.closed:
            with writing(self.path), self._stream:
                os.fsync(self._stream.fileno())

    def __enter__(self) -> AppendFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def writing(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Turn what the operating system refuses while ``path`` is written into a ResourceError.

    Args:
        path: what is being written.
        needed: bytes that are to be written, if known.
    """
    try:
        yield
    except OSError as error:
        raise _refusal(path, error, needed) from error


def _refusal(path: Path, error: OSError, needed: int | None) -> TrainloopError:
    size = f"{needed:,} bytes needed, " if needed is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            f"no space left to write {path.name}",
            where=str(path),
            found=f"{size}{free_bytes(path):,} bytes free",
            help="free some space, or write elsewhere",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(
            f"no permission to write {path.name}",
            where=str(path),
            found=error.strerror or str(error),
            help="change the permissions, or write elsewhere",
        )
    return ResourceError(f"cannot write {path.name}", where=str(path), found=error.strerror or str(error))


def free_bytes(path: Path) -> int:
    """Return the bytes free on the disk that holds ``path`` (or would hold it)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0


def require_space(folder: Path, needed: int, *, what: str, help: str) -> None:
    """Refuse work whose result will not fit.

    Args:
        folder: where the result goes.
        needed: bytes of it.
        what: the fault in one clause.
        help: how to go on.

    Raises:
        ResourceError: the disk that holds ``folder`` has less than ``needed`` bytes free.
    """
    free = free_bytes(folder)
    if free < needed:
        raise ResourceError(
            what, where=str(folder), found=f"{free:,} bytes free", expected=f"{needed:,} bytes", help=help
        )


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the operating system drops it when the process dies, however it dies.

    Raises:
        RunFolderBusyError: another process holds it; the message names that process.
    """
    from filelock import FileLock, Timeout

    lock_path = folder / LOCK_NAME
    owner_path = folder / ".owner"
    lock = FileLock(lock_path)
    with writing(lock_path):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            owner = owner_path.read_text(encoding="utf-8").strip() if owner_path.exists() else "an unknown process"
            raise RunFolderBusyError(
                "another process is writing this folder",
                where=str(folder),
                found=owner,
                help="wait for it to end, or choose another folder",
            ) from error
    try:
        write_text(owner_path, f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        owner_path.unlink(missing_ok=True)
        lock.release()
