from __future__ import annotations

import pytest

from trainloop.data.sources.listener import PlainLines, progress_line


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


def test_lines_pass_through(lines):
    PlainLines(lines.append).say("hello")
    assert lines == ["hello"]


def test_progress_is_said_now_and_then(lines, clock):
    listener = PlainLines(lines.append, every=5, clock=clock)
    for clock.now in range(12):
        listener.moved("file", clock.now * 1_000_000, 20_000_000)
    assert lines == ["file: 5.0 of 20.0 MB, 1.0 MB/s", "file: 10.0 of 20.0 MB, 1.0 MB/s"]


def test_speed_is_that_since_the_last_line(lines, clock):
    listener = PlainLines(lines.append, every=5, clock=clock)
    listener.moved("file", 100_000_000, None)
    clock.now = 10
    listener.moved("file", 130_000_000, None)
    assert lines == ["file: 130.0 MB, 3.0 MB/s"]


def test_another_name_begins_anew(lines, clock):
    listener = PlainLines(lines.append, every=5, clock=clock)
    listener.moved("one", 0, 10)
    clock.now = 100
    listener.moved("two", 0, 10)
    assert lines == []


def test_progress_line_has_bytes_and_speed():
    line = progress_line("cifar-10-binary.tar.gz", 34_100_000, 170_052_171, 5_200_000)
    assert line == "cifar-10-binary.tar.gz: 34.1 of 170.1 MB, 5.2 MB/s"
