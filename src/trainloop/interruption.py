"""How a run hears that it should end, or save: signals only leave a note, and the loop reads it where it can act on it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from trainloop.errors import InterruptedRunError

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""SIGHUP comes when the terminal is closed"""
SAVING = "SIGUSR1"


class Control:
    """What a run was asked from outside.

    While ``immediate`` (at first, and during evaluations) a request to end is raised where it comes: nothing would be
    lost. Otherwise it waits for the end of the step; a second one never waits.
    """

    def __init__(self) -> None:
        self.immediate = True
        self.pending = False
        self.stop: InterruptedRunError | None = None
        self._save = False

    def request_stop(self, number: int) -> None:
        """Take note of a request to end the run.

        Raises:
            InterruptedRunError: at once, if nothing has to be finished, or for the second time.
        """
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        error = InterruptedRunError(f"interrupted by {name}", exit_code=128 + number)
        if self.immediate or self.stop is not None:
            self.stop = error
            raise error
        self.stop, self.pending = error, True

    def request_save(self) -> None:
        """Take note that a checkpoint is wanted now."""
        self._save = self.pending = True

    def take_save_request(self) -> bool:
        """Say whether a checkpoint is wanted, and forget it."""
        wanted, self._save = self._save, False
        self.pending = self.stop is not None
        return wanted

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise an interruption where it comes, one that waits already included."""
        before, self.immediate = self.immediate, True
        try:
            if self.stop is not None:
                raise self.stop
            yield
        finally:
            self.immediate = before


@contextlib.contextmanager
def listening(control: Control) -> Iterator[None]:
    """Let signals reach ``control``: SIGINT, SIGTERM and SIGHUP end the run, SIGUSR1 asks for a checkpoint.

    One that the process was told to ignore, as ``nohup`` does with SIGHUP, stays ignored.

    Outside the main thread, where Python allows no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        control.request_stop(number)

    def save(_number: int, _frame: FrameType | None) -> None:
        control.request_save()

    handlers = {**dict.fromkeys(STOPPING, stop), SAVING: save}
    numbers = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
    before = {
        number: signal.signal(number, handler)
        for number, handler in numbers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
