"""Stepping by keys through a pseudo-terminal; the terminal is as before, whatever ended it."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import sys
import termios
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from trainloop.errors import UsageError
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.screen import stepper
from trainloop.explain_conv.screen.stepper import BACK, FIRST, FORWARD, LAST, QUIT, require_terminal, split_keys

LEAVES_SCREEN, SHOWS_CURSOR = "\x1b[?1049l", "\x1b[?25h"


def at_another_size(*_):
    """What SIGWINCH did before."""


def num_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def terminal(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r", closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=100, height=30, highlight=False)
        before_all = signal.signal(signal.SIGWINCH, at_another_size)
        descriptors = num_descriptors()
        yield SimpleNamespace(ours=ours, theirs=theirs, before=before, out=out, console=console)
        assert termios.tcgetattr(theirs) == before
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.signal(signal.SIGWINCH, before_all) is at_another_size
        assert num_descriptors() == descriptors
        assert out.getvalue().rstrip().endswith((SHOWS_CURSOR, LEAVES_SCREEN))
        assert LEAVES_SCREEN in out.getvalue()
        assert SHOWS_CURSOR in out.getvalue()
    os.close(ours)
    os.close(theirs)


def later(act):
    timer = threading.Timer(0.15, act)
    timer.start()
    return timer


def steps_seen(text):
    return [int(step) for step in re.findall(r", step (\d+) of", text)]


def go(terminal, walk, keys):
    timer = later(lambda: os.write(terminal.ours, keys))
    stepper.step_through(walk, terminal.console)
    timer.join()


def test_arrows_go_forward_and_back_and_q_ends(conv, terminal):
    walk = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5"))

    def press():
        for key in (b"\x1b[C", b"\x1b[C", b"\x1b[D", b"\x1b[F", b"\x1b[C", b"\x1b[H", b"\x1b[D", b"q"):
            os.write(terminal.ours, key)
            threading.Event().wait(0.03)

    timer = later(press)
    stepper.step_through(walk, terminal.console)
    timer.join()
    seen = steps_seen(terminal.out.getvalue())
    assert seen == [5, 6, 7, 6, 9, 9, 1, 1]
    assert "q ends" in terminal.out.getvalue()


def test_it_begins_at_the_cell(conv, terminal):
    go(terminal, Walk(conv.explained("Conv2d(1, 1, 3)", "5x5", cell=(0, 2, 0))), b"q")
    assert steps_seen(terminal.out.getvalue()) == [7]


def resize(terminal, width, height):
    terminal.console.size = (width, height)
    os.kill(os.getpid(), signal.SIGWINCH)


def shown_last(terminal):
    """What stands on the screen since it was begun from its first line."""
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.out.getvalue().rpartition("\x1b[H")[2]).splitlines()


def test_another_size_is_drawn_at_once(conv, terminal):
    walk, seen = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5")), []

    def act():
        for width, height in ((60, 20), (100, 40), (30, 6)):
            resize(terminal, width, height)
            threading.Event().wait(0.1)
            seen.append((width, height, shown_last(terminal)))
        os.write(terminal.ours, b"q")

    timer = later(act)
    stepper.step_through(walk, terminal.console)
    timer.join()
    assert steps_seen(terminal.out.getvalue()) == [5, 5, 5]
    for width, height, lines in seen:
        assert len(lines) == height
        assert {len(line) for line in lines} <= {width}
    assert "needs 30×" in seen[-1][2][1]
    # Each time from an empty screen, since lines of another width are left on it.
    assert terminal.out.getvalue().count("\x1b[2J") == 3


def test_without_the_signal_nothing_is_drawn_again(conv, terminal):
    """The check above could not fail if it were drawn again by itself."""
    walk = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5"))

    def act():
        terminal.console.size = (60, 20)
        threading.Event().wait(0.1)
        os.write(terminal.ours, b"q")

    timer = later(act)
    stepper.step_through(walk, terminal.console)
    timer.join()
    assert steps_seen(terminal.out.getvalue()) == [5]


def test_many_sizes_at_once_do_not_stop_it(conv, terminal):
    resized = []

    def act():
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGWINCH)
            resized.append(1)
        os.write(terminal.ours, b"\x1b[Cq")

    timer = later(act)
    stepper.step_through(Walk(conv.explained("Conv2d(1, 1, 3)", "5x5")), terminal.console)
    timer.join()
    assert len(resized) == 50
    assert steps_seen(terminal.out.getvalue())[0] == 5


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_signal_puts_the_terminal_back(conv, terminal, number, raised):
    walk = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5"))
    timer = later(lambda: os.kill(os.getpid(), number))
    with pytest.raises(raised) as caught:
        stepper.step_through(walk, terminal.console)
    timer.join()
    if raised is SystemExit:
        assert caught.value.code == 128 + number


def test_a_fault_puts_the_terminal_back(conv, terminal, monkeypatch):
    walk = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5"))
    monkeypatch.setattr(walk, "frame", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stepper.step_through(walk, terminal.console)


def test_while_it_runs_the_terminal_is_in_another_state(conv, terminal, monkeypatch):
    """The check above could not fail if nothing were ever changed."""
    walk, states = Walk(conv.explained("Conv2d(1, 1, 3)", "5x5")), []
    right = walk.frame
    monkeypatch.setattr(walk, "frame", lambda step: states.append(termios.tcgetattr(terminal.theirs)) or right(step))
    go(terminal, walk, b"q")
    assert states
    assert states[0] != terminal.before
    assert not states[0][3] & termios.ECHO
    assert states[0][3] & termios.ISIG


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1b[C\x1b[A ", [FORWARD, BACK, FORWARD]),
        (b"\x1bOC\x1bOD", [FORWARD, BACK]),
        (b"\x1b[1~\x1b[4~\x1b[H\x1b[F", [FIRST, LAST, FIRST, LAST]),
        (b"\x1b[1;5Cx\x1b[15~q", [QUIT]),
        (b"\x1b", []),
        (b"", [QUIT]),
    ],
)
def test_keys(data, keys):
    assert split_keys(data) == keys


def test_without_a_terminal_it_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(UsageError, match="in a terminal") as caught:
        require_terminal(Console(file=io.StringIO()))
    assert "standard input and output are no terminals" in str(caught.value)
