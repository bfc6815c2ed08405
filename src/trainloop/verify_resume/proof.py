"""The proof: one run without a break, one that is killed again and again, and their ends compared bit for bit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from trainloop.checkpoint.store import CheckpointStore
from trainloop.config import dump_yaml
from trainloop.config.schema import RunConfig
from trainloop.files import make_folder, write_text
from trainloop.report.run_folder import SUMMARY
from trainloop.verify_resume.child import PROGRAM, Child, Command, started
from trainloop.verify_resume.ends import Same, compare_ends, read_end

CHECKPOINTS_A_RUN = 20
"""in the runs that are killed, so that there is something to take up again, whatever the config says"""
KILLS_A_RUN = 10
"""of one run; for more of them further runs are begun"""


class Aim(StrEnum):
    """Where a kill is aimed at."""

    START = "before the training"
    TRAINING = "at a random moment"
    SAVE = "inside a save"


TURNS = (Aim.TRAINING, Aim.SAVE, Aim.TRAINING, Aim.SAVE, Aim.START, Aim.SAVE)
"""half of them inside a save, where uniform ones almost never land"""


@dataclass(frozen=True)
class Kill:
    """One kill, and what it found.

    Args:
        run: number of the run that is killed, from 1.
        aim: where it was aimed at.
        during_save: whether a checkpoint was half written, or half removed, when the process was gone.
        at_step: last step in the metrics file.
        reported: step of the last checkpoint that was reported as saved.
        newest: step of the newest checkpoint that verifies, from which the run goes on; 0 for its beginning.
        fault: what is wrong about it; empty if nothing is.
    """

    run: int
    aim: Aim
    during_save: bool
    at_step: int
    reported: int
    newest: int
    fault: str = ""


@dataclass
class Proof:
    """What came out.

    Args:
        steps: of the run without a break.
        seconds: that it took.
        every: steps between two checkpoints in the runs that were killed.
        kills: one after the other.
        parts: how the ends compare, run by run.
        not_exact_because: what the runs themselves say of their bits.
    """

    steps: int
    seconds: float
    every: int
    kills: list[Kill] = field(default_factory=list)
    parts: list[list[Same]] = field(default_factory=list)
    not_exact_because: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Say whether every run ended with the same bits and no kill cost more than it may."""
        return not any(kill.fault for kill in self.kills) and not any(part.first for run in self.parts for part in run)


def prove(
    config: RunConfig,
    place: Path,
    *,
    kills: int,
    plugins: Sequence[Path] = (),
    announce: Callable[[str], None] = lambda _: None,
    on_kill: Callable[[Kill], None] = lambda _: None,
    draw: random.Random | None = None,
    program: Sequence[str] = PROGRAM,
) -> Proof:
    """Run a config through, kill and resume copies of it, and compare.

    Args:
        config: of the runs; only ``checkpoint.every`` is another in the copies.
        place: folder for the runs; nothing of such a name stands in it.
        kills: how many, one at least.
        plugins: files of the user's own.
        announce: told in one line what takes time.
        on_kill: told of each kill.
        draw: of the moments; None draws others each time.
        program: that trains in the runs that are killed.

    Raises:
        CheckFailedError: a run ended with an error.
        ResourceError: the folder cannot be written.
    """
    make_folder(place)
    whole = place / "whole"
    announce("a run without a break")
    with started(_command(config, place / "whole.yaml", plugins), whole, 0) as child:
        start_seconds = child.wait_for_start()
        child.finish()
    summary = _summary(whole)
    proof = Proof(summary["steps"], summary["seconds"], every=max(1, summary["steps"] // CHECKPOINTS_A_RUN))
    saving = config.checkpoint.model_copy(update={"every": proof.every})
    command = _command(config.model_copy(update={"checkpoint": saving}), place / "killed.yaml", plugins, program)
    end = read_end(whole)
    killer = Killer(proof, command, start_seconds, draw or random.Random(), on_kill)
    while len(proof.kills) < kills:
        run = len(proof.parts) + 1
        announce(f"run {run} that is killed and taken up again, a checkpoint every {proof.every} steps")
        folder = place / f"killed-{run}"
        killer.run_through(folder, run, min(KILLS_A_RUN, kills - len(proof.kills)))
        proof.parts.append(compare_ends(end, read_end(folder)))
        for place_resumed in _summary(folder)["resumed"]:
            proof.not_exact_because += place_resumed["not_exact_because"]
    return proof


def _summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return content


def _command(config: RunConfig, file: Path, plugins: Sequence[Path], program: Sequence[str] = PROGRAM) -> Command:
    write_text(file, dump_yaml(config))
    return Command(file, plugins, program)


class Killer:
    """Kills runs.

    Args:
        proof: takes the kills.
        command: of the runs.
        start_seconds: from the start of a process to that of its training.
        draw: of the moments.
        on_kill: told of each.
    """

    def __init__(
        self,
        proof: Proof,
        command: Command,
        start_seconds: float,
        draw: random.Random,
        on_kill: Callable[[Kill], None],
    ) -> None:
        self._proof = proof
        self._command = command
        self._start_seconds = start_seconds
        self._draw = draw
        self._on_kill = on_kill
        self._turns = self._aims()

    def run_through(self, folder: Path, run: int, kills: int) -> None:
        """Begin a run, kill it so often or until it ends before, and let it end."""
        for number in range(kills):
            with started(self._command, folder, number) as child:
                if not self._kill(child, run, left=kills - number):
                    child.finish()
                    return
        with started(self._command, folder, kills) as child:
            child.finish()

    def _aims(self) -> Iterator[Aim]:
        while True:
            yield from TURNS

    def _kill(self, child: Child, run: int, left: int) -> bool:
        """Kill a process; say whether it was killed before it ended."""
        aim = next(self._turns)
        before = newest_step(child.run_dir)
        if not self._wait(child, aim, before, left):
            return False
        child.kill()
        kill = self._judged(child, run, aim, before)
        self._proof.kills.append(kill)
        self._on_kill(kill)
        return True

    def _wait(self, child: Child, aim: Aim, before: int, left: int) -> bool:
        """Wait for the moment; say whether the process still runs then."""
        if aim is Aim.START:
            return child.wait(self._draw.uniform(0, self._start_seconds))
        child.wait_for_start()
        # What is left of the run is shared among the kills that are left, so that they go over all of it.
        share = self._proof.seconds * (1 - before / self._proof.steps) / (left + 1)
        if not child.wait(self._draw.uniform(0, share if aim is Aim.SAVE else 2 * share)):
            return False
        if aim is Aim.TRAINING:
            return True
        return child.wait_for_save() and child.wait(self._draw.uniform(0, _save_seconds(child)))

    def _judged(self, child: Child, run: int, aim: Aim, before: int) -> Kill:
        at_step, reported, newest = child.last_step(), child.last_reported(), newest_step(child.run_dir)
        fault = ""
        if newest < max(before, reported):
            fault = f"the checkpoint of step {max(before, reported)} is lost, the newest that verifies is of {newest}"
        elif at_step - newest > self._proof.every:
            fault = f"{at_step - newest} steps are lost, more than {self._proof.every}"
        return Kill(run, aim, child.is_saving(), at_step, reported, newest, fault)


def newest_step(run_dir: Path) -> int:
    """Return the step of the newest checkpoint that verifies, 0 without any."""
    saved = CheckpointStore(run_dir).newest().saved
    return saved.facts.position.step if saved is not None else 0


def _save_seconds(child: Child) -> float:
    """Return about how long the files of a save are under way in this process, or a guess before the first."""
    times = [event["milliseconds"] for event in child.events() if event["event"] == "checkpoint"]
    # The rest goes by before the first file is there, and in reading them back.
    return min(times, default=10.0) / 4e3
