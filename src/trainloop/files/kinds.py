"""What stands at a path: a plain file, a folder, or something that neither reads nor writes as one."""

from __future__ import annotations

import stat
from pathlib import Path

from trainloop.errors import UsageError

LARGEST_TENSOR_HEADER = 8_000_000
"""bytes that the header of a .safetensors file may have: some 80,000 tensors, and little enough to read"""
KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe"}


def require_plain_file(path: Path) -> None:
    """Refuse what is neither a plain file nor absent.

    Through a link trainloop would read, write and remove elsewhere; a pipe it would wait for without end.

    Raises:
        UsageError: something else stands there.
    """
    _require(path, stat.S_IFREG, "a plain file")


def require_plain_folder(path: Path) -> None:
    """Refuse what is neither a folder (a link to one is none) nor absent.

    Raises:
        UsageError: something else stands there.
    """
    _require(path, stat.S_IFDIR, "a folder")


def _require(path: Path, kind: int, expected: str) -> None:
    try:
        found = stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return
    if found != kind:
        raise UsageError(
            "this is not what a run has there, so nothing in this folder is used",
            where=str(path),
            found=KINDS.get(found, "a device or a socket"),
            expected=expected,
            help="remove it, or choose another folder",
        )
