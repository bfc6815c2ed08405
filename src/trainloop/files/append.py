"""A text file that grows by whole lines."""

from __future__ import annotations

import os
from pathlib import Path

from trainloop.files import operations
from trainloop.files.refusal import writing
from trainloop.files.whole import sync_folder, write_all


class AppendFile:
    """A text file that grows by whole lines, each call flushed to the operating system in one write.

    Args:
        path: the file; an existing one is continued unless ``fresh``.
        fresh: begin with an empty file.
        keep: go on after so many bytes of it; what comes after them is cut off.
    """

    def __init__(self, path: Path, *, fresh: bool = False, keep: int | None = None) -> None:
        self.path = path
        self._open = False
        length = 0 if fresh else keep
        with writing(path):
            is_new = not path.exists()
            self._descriptor = operations.open_to_append(path)
            self._open = True
            if is_new:
                # Else a power cut could take the name, and with it every line, however often those are flushed.
                sync_folder(path.parent)
            if length is not None and self.size != length:
                operations.truncate(self._descriptor, length)

    @property
    def size(self) -> int:
        """Return how many bytes the file has."""
        return os.fstat(self._descriptor).st_size

    def append(self, text: str) -> None:
        """Append ``text``, which ends in a newline."""
        self.append_bytes(text.encode("utf-8"))

    def append_bytes(self, content: bytes) -> None:
        """Append raw bytes (a part of a download)."""
        with writing(self.path, needed=len(content)):
            start = self.size
            try:
                write_all(self._descriptor, content)
            except OSError:
                # A reader must never meet half a line.
                operations.truncate(self._descriptor, start)
                raise

    def sync(self) -> int:
        """Flush everything to the disk, and return how many bytes there are."""
        with writing(self.path):
            operations.fsync(self._descriptor)
        return self.size

    def close(self) -> None:
        """Flush to the disk and close."""
        if self._open:
            self._open = False
            try:
                self.sync()
            finally:
                os.close(self._descriptor)

    def __enter__(self) -> AppendFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
