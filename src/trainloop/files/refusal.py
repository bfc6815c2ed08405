"""What the operating system refuses, as an error that names the path, the bytes needed and the bytes free."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from trainloop.errors import ResourceError, TrainloopError


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
    if error.errno == errno.EFBIG:
        return ResourceError(
            f"no space left to write {path.name}: this process may not write so large a file",
            where=str(path),
            found=f"{size}{free_bytes(path):,} bytes free on the disk",
            help="raise the limit of this shell (ulimit -f), or write elsewhere",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(
            f"no space left to write {path.name}",
            where=str(path),
            found=f"{size}{free_bytes(path):,} bytes free",
            help="free some space, or write elsewhere",
        )
    if error.errno == errno.EROFS:
        return ResourceError(
            f"no permission to write {path.name}: the disk is read-only",
            where=str(path),
            found=error.strerror or str(error),
            help="make the disk writable, or write elsewhere",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
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
