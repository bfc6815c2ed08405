"""Standard output that may go away: a reader that has seen enough, a terminal that was closed, a disk that is full.

What a command does is worth more than what it prints: it goes on without its output. A reader that left wanted no more; any
other loss is told at the end.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, TextIO

QUIET = frozenset({errno.EPIPE, errno.EIO})
"""the reader, or the terminal, is gone, so there is nobody to tell"""


class Output:
    """A text stream that swallows what cannot be written any more.

    Args:
        stream: to write to; None where the process has none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all other respects."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or take note that it was not possible."""
        if self.failure is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or take note that it was not possible."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.failure = error
        # What the stream still holds has somewhere to go when Python flushes it at the end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def install_output() -> Output:
    """Put such a stream in the place of standard output."""
    output = Output(sys.stdout)
    sys.stdout = output
    return output


def lost_output(output: Output) -> str:
    """Return why output was lost, in words; nothing if it was not, or if nobody was there to read it."""
    output.flush()
    failure = output.failure
    return "" if failure is None or failure.errno in QUIET else failure.strerror or str(failure)
