"""How a source tells what it does. The data package never prints: whoever calls it listens and draws."""

from __future__ import annotations

import time
from collections.abc import Callable


class Listener:
    """Hears what happens and keeps silent; the base of those that show it."""

    def say(self, text: str) -> None:
        """Hear one line: what begins, or what went wrong and what is tried next."""

    def moved(self, name: str, done: int, total: int | None) -> None:
        """Hear that ``done`` bytes of ``total`` (None when unknown) have arrived."""


class PlainLines(Listener):
    """Turns everything into single lines, the progress into one line now and then.

    Args:
        write: takes a line without its newline.
        every: seconds between two lines of progress.
        clock: seconds, from any start.
    """

    def __init__(
        self, write: Callable[[str], None], every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._every, self._clock = write, every, clock
        self._name: str | None = None
        self._last_time, self._last_done = 0.0, 0

    def say(self, text: str) -> None:
        """Write the line."""
        self._write(text)

    def moved(self, name: str, done: int, total: int | None) -> None:
        """Write a line when the last one is ``every`` seconds old; the speed is that since the last line."""
        now = self._clock()
        if name != self._name:
            self._name, self._last_time, self._last_done = name, now, done
        elif now - self._last_time >= self._every:
            speed = (done - self._last_done) / (now - self._last_time)
            self._write(progress_line(name, done, total, speed))
            self._last_time, self._last_done = now, done


def progress_line(name: str, done: int, total: int | None, speed: float) -> str:
    """Return for instance ``cifar-10-binary.tar.gz: 34.1 of 170.1 MB, 5.2 MB/s``."""
    amount = f"{done / 1e6:.1f} MB" if total is None else f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
    return f"{name}: {amount}, {speed / 1e6:.1f} MB/s"
