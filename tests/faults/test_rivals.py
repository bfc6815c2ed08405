"""Several processes, one folder: exactly one writes, the others name it and leave, and nothing has to be cleaned up."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainloop.data import cifar10
from trainloop.data.sources.store import import_copy
from trainloop.errors import TrainloopError
from trainloop.report import run_folder
from trainloop.report.run_folder import open_run_folder
from trainloop.resume import AUTO, open_run

PATIENCE = 60
"""seconds after which a process that says nothing counts as hung"""


class Rival:
    """A fork of this process that waits for the start, does its work, says how that went, and then holds on to it.

    Bytes start and end it, not the end of a pipe: later forks have copies of all pipes.

    Args:
        start: a byte from this descriptor starts it.
        work: a context; what it yields is told.
    """

    def __init__(self, start, work):
        told, self._tell = os.pipe()
        self._end, end = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._live(start, work)
        self.told, self.end = told, end

    def _live(self, start, work):
        # A test that failed has nobody left to end it.
        signal.alarm(2 * PATIENCE)
        try:
            os.read(start, 1)
            began = time.perf_counter()
            try:
                with work() as text:
                    self._say("won", text, began)
                    os.read(self._end, 1)
            except TrainloopError as error:
                self._say(error.exit_code, str(error), began)
        finally:
            os._exit(0)

    def _say(self, how, text, began):
        facts = {"pid": os.getpid(), "how": how, "text": str(text), "seconds": time.perf_counter() - began}
        os.write(self._tell, json.dumps(facts).encode())

    def says(self):
        os.set_blocking(self.told, False)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                content = os.read(self.told, 1 << 16)
                return json.loads(content)
            time.sleep(0.001)
        raise AssertionError("hung")

    def finish(self, *, kill=False):
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        os.write(self.end, b"x")
        os.waitpid(self.pid, 0)
        for descriptor in (self.told, self._tell, self.end, self._end):
            os.close(descriptor)


def wave(count, work):
    """Start so many rivals at once; return them and what each said."""
    start, go = os.pipe()
    rivals = [Rival(start, work) for _ in range(count)]
    os.write(go, b"x" * count)
    said = [rival.says() for rival in rivals]
    os.close(go)
    os.close(start)
    return rivals, said


def contest(folder, count, *, kill):
    """Let rivals want one folder, and two more that come while it is held; return the winners and what the others said."""

    def work():
        return open_run_folder(folder, "run", unfinished=True)

    first, said = wave(count, work)
    late, said_late = wave(2, work)
    for rival, one in zip((*first, *late), (*said, *said_late), strict=True):
        rival.finish(kill=kill and one["how"] == "won")
    everything = [*said, *said_late]
    return [one for one in everything if one["how"] == "won"], [one for one in everything if one["how"] != "won"]


def rounds(home, count):
    """Play rounds with two to eight rivals, on a folder that stands and on new ones, the winner killed in half of them."""
    others, slowest = 0, 0.0
    for number in range(count):
        folder = home / ("old" if number % 4 < 2 else f"new{number}")
        winners, losers = contest(folder, 2 + number % 7, kill=number % 2 == 0)
        assert len(winners) == 1, (number, winners)
        for loser in losers:
            assert loser["how"] == 8, loser
            owner = rf"found: process {winners[0]['pid']} on {re.escape(socket.gethostname())}, since \d{{4}}-"
            assert re.search(owner, loser["text"]), (number, loser)
        others, slowest = others + len(losers), max(slowest, *(loser["seconds"] for loser in losers))
    return others, slowest


def test_one_of_many_writes_a_folder(quick_path, amount, counted):
    count = amount(50, 500)
    others, slowest = rounds(quick_path, count)
    counted(f"{count} rounds, one writer in each; {others} others named it, the slowest after {slowest:.2f} s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "one_writer", lambda *_, **__: contextlib.nullcontext())
        with pytest.raises(AssertionError):
            rounds(quick_path / "control", 2)


def test_every_automatic_name_is_another_folder(quick_path, tiny_config, monkeypatch, amount, counted):
    monkeypatch.chdir(quick_path)
    config = tiny_config()

    @contextlib.contextmanager
    def work():
        with open_run(AUTO, None, "quick", config, lambda _: None) as (folder, _):
            yield folder.path

    for _ in range(amount(2, 10)):
        rivals, said = wave(32, work)
        for rival in rivals:
            rival.finish()
        assert [one["how"] for one in said] == ["won"] * 32
        assert len({one["text"] for one in said}) == 32
    counted("32 folders for 32 runs at once")


def test_many_imports_at_once_leave_the_verified_files(quick_path, amount):
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[1] / "data" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny"] = module
    spec.loader.exec_module(module)
    tiny = module.make_tiny()
    copy = quick_path / "copy"
    copy.mkdir()
    for name, content in tiny.contents.items():
        (copy / name).write_bytes(content)
    for number in range(amount(10, 100)):
        to = quick_path / f"to{number}"

        @contextlib.contextmanager
        def work(to=to):
            import_copy(copy, to, files=tiny.files)
            yield "done"

        rivals, said = wave(6, work)
        for rival in rivals:
            rival.finish()
        assert {one["how"] for one in said} <= {"won", 8}
        assert "won" in {one["how"] for one in said}
        cifar10.verify(to, tiny.files)
        assert sorted(path.name for path in to.iterdir() if path.name[0] != ".") == sorted(tiny.contents)


CONFIG = """
model: {name: small_cnn, args: {width: 4}}
train: {max_steps: 100000, epochs: 100000, batch_size: 100}
threads: 1
checkpoint: {every: 50}
"""


def test_the_command_leaves_a_run_that_is_written_alone(tmp_path, amount):
    """As typed, in processes of their own; the writer is killed, and the next one goes on without help."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    words = [sys.executable, "-m", "trainloop", "train", "--config", "config.yaml", "--run-dir", "run", "--quiet"]
    for _ in range(amount(1, 5)):
        rivals = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        deadline = time.monotonic() + PATIENCE
        while len(running := [rival for rival in rivals if rival.poll() is None]) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        (writer,) = running
        for rival in rivals:
            if rival is not writer:
                assert rival.returncode == 8
                assert f"process {writer.pid} on {socket.gethostname()}, since " in rival.stderr.read()
        while not list((tmp_path / "run").glob("checkpoints/step-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        writer.kill()
        for rival in rivals:
            rival.communicate()
    newest = max((tmp_path / "run" / "checkpoints").iterdir()).name
    step = int(newest.removeprefix("step-"))
    last = ["--set", f"train.max_steps={step + 1}", "--allow-changed"]
    done = subprocess.run([*words[:-1], *last], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stdout
