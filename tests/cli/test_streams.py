"""Standard output that goes away: the command does its work, and says so where somebody may care."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from trainloop.cli.streams import Output, install_output, lost_output


class Failing:
    """A stream on a descriptor of its own, whose writes fail."""

    def __init__(self, code):
        self._descriptor = os.open(os.devnull, os.O_WRONLY)
        self._code = code
        self.writes = 0

    def write(self, text):  # noqa: ARG002 - the interface of streams
        self.writes += 1
        raise OSError(self._code, os.strerror(self._code))

    def flush(self):
        pass

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("code", "told"),
    [(errno.EPIPE, ""), (errno.EIO, ""), (errno.ENOSPC, "No space left on device")],
)
def test_writing_goes_on_into_nothing_and_is_told_unless_nobody_reads(code, told):
    stream = Failing(code)
    output = Output(stream)
    assert output.write("abc") == 3
    assert output.write("de") == 2
    output.flush()
    assert stream.writes == 1
    assert lost_output(output) == told
    os.close(stream.fileno())


def test_in_all_else_it_is_the_stream():
    stream = Failing(errno.EPIPE)
    assert Output(stream).isatty()
    os.close(stream.fileno())


def test_a_process_without_standard_output_has_one_that_keeps_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    output = install_output()
    print("nowhere")
    assert sys.stdout is output
    assert lost_output(output) == ""
    output.close()


def test_what_can_be_written_is(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    output = install_output()
    print("text")
    assert lost_output(output) == ""
    assert capsys.readouterr().out == "text\n"
