"""Go through the steps of a walk with keys, on a screen of its own that is gone afterwards, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.control import Control
from rich.text import Text

from trainloop.errors import UsageError
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.screen.frames import BESIDES, fitting_lines, most_digits

FORWARD, BACK, FIRST, LAST, QUIT = "forward", "back", "first", "last", "quit"
REDRAW = "redraw"
"""no key: the terminal has another size"""
KEYS = {
    b"\x1b[C": FORWARD,
    b"\x1b[B": FORWARD,
    b"\x1bOC": FORWARD,
    b"\x1bOB": FORWARD,
    b" ": FORWARD,
    b"\x1b[D": BACK,
    b"\x1b[A": BACK,
    b"\x1bOD": BACK,
    b"\x1bOA": BACK,
    b"\x7f": BACK,
    b"\x1b[H": FIRST,
    b"\x1b[1~": FIRST,
    b"\x1bOH": FIRST,
    b"\x1b[F": LAST,
    b"\x1b[4~": LAST,
    b"\x1bOF": LAST,
    b"q": QUIT,
    b"Q": QUIT,
    b"\x04": QUIT,
}
"""what a terminal sends for a key: arrows, Space and Backspace, Home, End, q, Ctrl-D"""
HELP, SHORT_HELP = "→ forward · ← back · Home, End · q ends", "→ ← · q ends"


def require_terminal(console: Console) -> None:
    """Refuse to step where nobody can press a key or nothing can be drawn in place.

    Args:
        console: of standard output.

    Raises:
        UsageError: standard input or output is no terminal, or a dumb one.
    """
    names = [name for name, stream in (("input", sys.stdin), ("output", sys.stdout)) if not stream.isatty()]
    if names or console.is_dumb_terminal:
        raise UsageError(
            "steps go by keys, in a terminal",
            where="--step",
            found=f"standard {' and '.join(names)} {'is no terminal' if len(names) == 1 else 'are no terminals'}"
            if names
            else "a terminal that cannot move its cursor",
            expected="a terminal",
            help="--frames prints every step, --gif FILE draws them",
        )


def step_through(walk: Walk, console: Console) -> None:
    """Show the step of the explanation's cell, and go where the keys say, until q.

    Args:
        walk: whose steps.
        console: of a terminal.
    """
    digits = most_digits(walk)
    step = walk.start
    with _resized() as resized, _keys(resized) as read, _ended_by_sigterm(), console.screen() as screen:
        while True:
            width, height = console.size
            lines = fitting_lines(walk.frame(step), width, height - BESIDES, digits)
            help = HELP if len(HELP) <= width else SHORT_HELP[:width]
            console.control(Control.home())
            screen.update(_joined([Text(help, style="dim"), *lines]))
            for key in read():
                if key == QUIT:
                    return
                if key == REDRAW:
                    console.control(Control.clear())
                else:
                    step = _moved(step, key, len(walk))


def split_keys(data: bytes) -> list[str]:
    """Return the keys in what a terminal sent; what is no key of ours is passed over.

    Args:
        data: one or more keys; nothing where the terminal is gone, which ends it.
    """
    if not data:
        return [QUIT]
    found = []
    while data:
        known = next((code for code in KEYS if data.startswith(code)), b"")
        if known:
            found.append(KEYS[known])
        data = data[len(known) or _unknown_length(data) :]
    return found


def _unknown_length(data: bytes) -> int:
    """Return how long an unknown key is: an escape sequence goes to its final letter."""
    if not data.startswith(b"\x1b["):
        return 1
    return next((n + 1 for n, byte in enumerate(data[2:], start=2) if 0x40 <= byte <= 0x7E), len(data))


def _moved(step: int, key: str, steps: int) -> int:
    return {
        FORWARD: min(step + 1, steps - 1),
        BACK: max(step - 1, 0),
        FIRST: 0,
        LAST: steps - 1,
    }[key]


def _joined(lines: list[Text]) -> Text:
    """Return one text, cut to the screen rather than wrapped."""
    text = Text("\n", no_wrap=True, overflow="crop").join(lines)
    text.no_wrap, text.overflow = True, "crop"
    return text


@contextmanager
def _resized() -> Iterator[socket.socket]:
    """Give a socket on which there is something to read once the terminal has another size."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def tell(_: int, __: FrameType | None) -> None:
        # A full socket says it already.
        with contextlib.suppress(BlockingIOError):
            theirs.send(b"\0")

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield ours
    finally:
        signal.signal(signal.SIGWINCH, before)
        ours.close()
        theirs.close()


@contextmanager
def _keys(resized: socket.socket) -> Iterator[Callable[[], list[str]]]:
    """Give a function that waits for keys or for another size; the terminal is as before at the end.

    Ctrl-C still interrupts; Ctrl-Z does not suspend, which would leave the terminal in this state.

    Args:
        resized: on which there is something to read after the terminal's size has changed.
    """
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        now = termios.tcgetattr(descriptor)
        now[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(descriptor, termios.TCSADRAIN, now)
        yield lambda: _wait(descriptor, resized)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait(keys: int, resized: socket.socket) -> list[str]:
    """Return the next keys, or that the terminal's size has changed."""
    ready, _, _ = select.select([keys, resized.fileno()], [], [])
    if resized.fileno() in ready:
        resized.recv(1024)
        return [REDRAW]
    return split_keys(os.read(keys, 1024))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM and the end of the terminal's line unwind everything, instead of ending the process where it stands."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
