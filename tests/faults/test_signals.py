"""Signals at every place of a run, to the process and to its group: it ends in time, saved, and goes on to the same bits."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainloop.checkpoint.store import CheckpointStore
from trainloop.config import dump_yaml
from trainloop.verify_resume.ends import compare_ends, read_end

PATIENCE = 60
SERVER = Path(__file__).with_name("signal_server.py")
HALT_SECONDS, STEP = 0.4, 5
"""as in the server"""
ALLOWED_SECONDS = 2.0
"""from a signal to the end, above the step or the save that is finished"""
EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
HANG_UP = {signal.SIGHUP: 129}
"""when the terminal is closed"""

FINISHED_FIRST = ("step", "data", "save")
"""places from which the run first gets to the end of a step"""
SAVED_AT = {"step": STEP, "data": STEP, "save": 4, "validation": 6, "test": 12}
"""step of the checkpoint that a signal at the place leaves; checkpoints are made every 4 steps, epochs have 6"""
BEFORE = ("checks", "compiler", "download")
"""places before the training, where nothing is saved yet"""


class Server:
    """The process that forks runs."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._line() == "ready"

    def _line(self):
        return self._process.stdout.readline().strip()

    def fork(self, **request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._line())

    def exit_code(self):
        return int(self._line())

    def end(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.end()


@pytest.fixture
def config_file(tmp_path, tiny_config):
    def make(**changes):
        path = tmp_path / "run.yaml"
        path.write_text(dump_yaml(tiny_config(checkpoint={"every": 4, "keep": 9}, **changes)))
        return path

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_config):
    """Return the end of the run without a break."""
    from trainloop.training import train

    folder = tmp_path_factory.mktemp("whole") / "run"
    train(tiny_config(checkpoint={"every": 4, "keep": 9}), run_dir=folder)
    return read_end(folder)


class Run:
    """A run that halts at a place."""

    def __init__(self, server, place, tmp_path, words, **environment):
        self.server = server
        self.folder, self.marker, self.out = tmp_path / "run", tmp_path / "marker", tmp_path / "out"
        self.words = [*map(str, words)]
        self.pid = server.fork(
            place=place, words=self.words, marker=str(self.marker), out=str(self.out), environment=environment
        )
        deadline = time.monotonic() + PATIENCE
        while not self.marker.exists() and self.is_there() and time.monotonic() < deadline:
            time.sleep(0.002)
        if not self.marker.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            pytest.fail(f"never got to {place}: exit code {server.exit_code()}, {self.text()}")

    def is_there(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number, receiver):
        (os.kill if receiver == "process" else os.killpg)(self.pid, number)

    def end(self):
        """Return the exit code and the seconds until it was there."""
        began = time.monotonic()
        code = self.server.exit_code()
        return code, time.monotonic() - began

    def text(self):
        return self.out.read_text()

    def newest(self):
        saved = CheckpointStore(self.folder).newest().saved
        return saved.facts.position.step if saved else 0


def trained(config, folder, *words):
    return ["train", "--config", config, "--run-dir", folder, "--progress", "plain", *words]


def goes_on_to(whole, run, server, tmp_path):
    """Go on with a run that was ended, and say what differs at its end."""
    again = server.fork(place="compiler", words=run.words, marker=str(tmp_path / "none"), out=str(tmp_path / "again"))
    assert again
    assert server.exit_code() == 0, (tmp_path / "again").read_text()
    return [f"{same.part}: {same.first}" for same in compare_ends(whole, read_end(run.folder)) if same.first]


def is_gone(pid):
    """Say whether a process has ended, whether or not somebody has taken note of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


CASES = [
    *itertools.product(SAVED_AT, EXIT, ("process", "group")),
    *itertools.product(("step", "validation"), HANG_UP, ("process",)),
]


@pytest.mark.parametrize(("place", "number", "receiver"), CASES)
def test_a_signal_ends_the_run_in_time_and_saved(
    place, number, receiver, server, config_file, whole, tmp_path, counted
):
    run = Run(server, place, tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(number, receiver)
    code, seconds = run.end()
    assert code == (EXIT | HANG_UP)[number], run.text()
    assert seconds < ALLOWED_SECONDS + HALT_SECONDS * (place in FINISHED_FIRST)
    assert run.newest() == SAVED_AT[place]
    assert f"to go on: trainloop train --config {tmp_path / 'run.yaml'}" in run.text()
    assert "Traceback" not in run.text()
    if receiver == "process":
        assert goes_on_to(whole, run, server, tmp_path) == []
    counted(f"ended after {seconds:.2f} s")


@pytest.mark.parametrize("receiver", ["process", "group"])
@pytest.mark.parametrize("place", ["step", "data", "save"])
def test_sigusr1_saves_and_goes_on(place, receiver, server, config_file, whole, tmp_path):
    run = Run(server, place, tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(signal.SIGUSR1, receiver)
    code, _ = run.end()
    assert code == 0, run.text()
    step = SAVED_AT[place] + (place == "save")
    assert f"saved at step {step}: {tmp_path / 'run'}" in run.text()
    assert [f"{same.part}: {same.first}" for same in compare_ends(whole, read_end(run.folder)) if same.first] == []


@pytest.mark.parametrize("number", EXIT)
@pytest.mark.parametrize("place", ["checks", "download"])
def test_before_the_training_a_signal_ends_the_run_at_once(place, number, server, config_file, tmp_path):
    words = ["data", "fetch", "--to", tmp_path / "data"] if place == "download" else None
    run = Run(server, place, tmp_path, words or trained(config_file(), tmp_path / "run"))
    run.signal(number, "process")
    code, seconds = run.end()
    assert (code, seconds < ALLOWED_SECONDS) == (EXIT[number], True), run.text()
    assert "interrupted by" in run.text()


def test_a_compiler_that_runs_is_ended_with_all_its_children(server, config_file, tmp_path):
    compiler, grandchild = tmp_path / "c++", tmp_path / "pid"
    compiler.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit\nsleep 60 &\necho $! > {grandchild}\n'
        f"touch {tmp_path / 'marker'}\nwait\n"
    )
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    config = config_file(mode="manual", stages={"step": "compiled"})
    run = Run(
        server,
        "compiler",
        tmp_path,
        trained(config, tmp_path / "run"),
        CXX=str(compiler),
        TRAINLOOP_CACHE=str(tmp_path / "cache"),
    )
    run.signal(signal.SIGTERM, "process")
    code, seconds = run.end()
    assert (code, seconds < ALLOWED_SECONDS) == (143, True), run.text()
    time.sleep(0.2)
    assert is_gone(int(grandchild.read_text()))


@pytest.mark.parametrize("receiver", ["process", "group"])
def test_a_second_signal_does_not_wait(receiver, server, config_file, whole, tmp_path):
    # A first part of the run leaves a checkpoint that must survive.
    run = Run(server, "step", tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(signal.SIGTERM, receiver)
    assert run.end()[0] == 143
    run.marker.unlink()
    run = Run(server, "hung save", tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(signal.SIGINT, receiver)
    time.sleep(0.2)
    run.signal(signal.SIGINT, receiver)
    code, seconds = run.end()
    assert (code, seconds < 1) == (130, True), run.text()
    assert run.newest() >= STEP
    assert goes_on_to(whole, run, server, tmp_path) == []


@pytest.mark.parametrize("number", EXIT)
def test_when_every_step_is_made_and_tested_the_results_are_written_first(number, server, config_file, whole, tmp_path):
    run = Run(server, "results", tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(number, "process")
    code, seconds = run.end()
    assert (code, seconds < ALLOWED_SECONDS + HALT_SECONDS) == (0, True), run.text()
    assert [same.first for same in compare_ends(whole, read_end(run.folder)) if same.first] == []


def test_a_run_that_does_not_listen_is_found_out(server, config_file, tmp_path):
    """The control: a run that hears nothing ends neither in time nor with the code of a signal."""
    run = Run(server, "deaf", tmp_path, trained(config_file(), tmp_path / "run"))
    run.signal(signal.SIGTERM, "process")
    code, seconds = run.end()
    assert code not in EXIT.values()
    assert seconds >= ALLOWED_SECONDS
