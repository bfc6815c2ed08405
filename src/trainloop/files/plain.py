"""Reading what nobody vouches for: plain files alone, never through a link, and never more than a limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_ENTRIES = 20_000
"""of a folder that are counted; more than any run has"""


def plain_size(path: Path) -> int:
    """Return the bytes of a plain file.

    Raises:
        OSError: there is none, or it is a link, a folder, a pipe or a device.
    """
    facts = path.lstat()
    _require_plain(facts)
    return facts.st_size


def read_plain(path: Path, limit: int, *, end: bool = False) -> bytes:
    """Read a plain file.

    Args:
        path: the file; a link, a pipe or a device is refused, and none of them is waited for.
        limit: the most bytes that are read.
        end: of a longer file read the last so many bytes; otherwise a longer file is refused.

    Raises:
        OSError: with the reason in words as its ``strerror``.
    """
    with open_plain(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            if not end:
                raise OSError(errno.EFBIG, f"{size:,} bytes, {limit:,} at most are read")
            stream.seek(size - limit)
        return stream.read(limit)


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file to read it; see :func:`read_plain`."""
    plain_size(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    stream = os.fdopen(descriptor, "rb")
    try:
        _require_plain(os.fstat(descriptor))
    except OSError:
        stream.close()
        raise
    return stream


def disk_use(folder: Path) -> int:
    """Return the bytes of all files in a folder and those below it; links count as themselves and are not followed."""
    total = entries = 0
    waiting = [str(folder)]
    while waiting and entries < MOST_ENTRIES:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            # What may not be looked into, or has just gone, counts nothing.
            continue
    return total


def _require_plain(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = "a link" if stat.S_ISLNK(facts.st_mode) else "a folder" if stat.S_ISDIR(facts.st_mode) else "a device"
        raise OSError(errno.EINVAL, f"{kind}, not a plain file")
