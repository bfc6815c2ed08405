"""A training run in a process of its own, watched from outside and killed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainloop.checkpoint.places import CHECKPOINTS
from trainloop.errors import CheckFailedError
from trainloop.files import operations
from trainloop.files.whole import half_done
from trainloop.report.run_folder import METRICS

PROGRAM = (sys.executable, "-m", "trainloop")
POLL_SECONDS = 0.001
SHOWN_LINES = 12
"""of the end of what a process said before it failed"""


@dataclass(frozen=True)
class Command:
    """The command that trains, and goes on with a run of its own.

    Args:
        config: the resolved config, as a file.
        plugins: files of the user's own.
        program: that trains.
    """

    config: Path
    plugins: Sequence[Path] = ()
    program: Sequence[str] = PROGRAM

    def words(self, run_dir: Path) -> list[str]:
        """Return the command line for a run folder."""
        plugins = [word for plugin in self.plugins for word in ("--plugin", str(plugin))]
        train = ["train", "--config", str(self.config), *plugins, "--run-dir", str(run_dir), "--progress", "json"]
        return [*self.program, *train]


class Child:
    """One process that trains in a run folder; what it says goes to files beside that folder.

    Args:
        command: that it runs.
        run_dir: of the run.
        number: of this process among those of the run.
    """

    def __init__(self, command: Command, run_dir: Path, number: int) -> None:
        self.run_dir = run_dir
        self._said = run_dir.with_name(f"{run_dir.name}-{number:03d}.jsonl")
        self._errors = self._said.with_suffix(".err")
        self._began = time.monotonic()
        said, errors = operations.create(self._said), operations.create(self._errors)
        try:
            words = command.words(run_dir)
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=errors)
        finally:
            os.close(said)
            os.close(errors)

    def events(self) -> list[dict[str, Any]]:
        """Return what it told so far; a line that is half written is left out."""
        lines = self._said.read_bytes().split(b"\n")[:-1]
        # Lines before the training are for people.
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def wait_for_start(self) -> float:
        """Wait until the training begins or the process has ended; return the seconds since it was started."""
        while self.is_running() and b'{"event": "start"' not in self._said.read_bytes():
            time.sleep(10 * POLL_SECONDS)
        return time.monotonic() - self._began

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the process has ended; say whether it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.is_running()

    def wait_for_save(self) -> bool:
        """Wait until a checkpoint is being written or the process has ended; say whether it still runs."""
        while self.is_running() and not self.is_saving():
            time.sleep(POLL_SECONDS)
        return self.is_running()

    def is_saving(self) -> bool:
        """Say whether a checkpoint is being written or removed, or was when the process died."""
        return bool(half_done(self.run_dir / CHECKPOINTS))

    def is_running(self) -> bool:
        """Say whether the process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            CheckFailedError: the process ended with an error.
        """
        code = self._process.wait()
        if code != 0:
            said = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            raise CheckFailedError(
                "a run that is part of the proof ended with an error",
                where=str(self.run_dir),
                found=f"exit code {code}: " + "\n".join(said),
                expected="exit code 0",
            )

    def last_step(self) -> int:
        """Return the last step that is in the metrics file, 0 without any."""
        try:
            lines = (self.run_dir / METRICS).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return 0
        steps = (json.loads(line)["step"] for line in reversed(lines) if line.startswith(b'{"event": "step"'))
        return next(steps, 0)

    def last_reported(self) -> int:
        """Return the step of the last checkpoint that the process reported as saved, 0 without any."""
        return max((event["step"] for event in self.events() if event["event"] == "checkpoint"), default=0)


@contextlib.contextmanager
def started(command: Command, run_dir: Path, number: int) -> Iterator[Child]:
    """Start a process; whatever happens, it is gone at the end."""
    child = Child(command, run_dir, number)
    try:
        yield child
    finally:
        child.kill()
