"""The whole examination."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainloop.data import cifar10
from trainloop.device import device_name
from trainloop.doctor.gate import Outcome, run_checks
from trainloop.doctor.line import Line, State
from trainloop.doctor.memory import memory_lines
from trainloop.doctor.storage import DATA, RUNS, data_lines, disk_line
from trainloop.doctor.system import system_lines
from trainloop.report.format import count

ADVICE = "nothing that this device computes is to be trusted: try another version of torch, or another --device"


@dataclass(frozen=True)
class Report:
    """What was found.

    Args:
        lines: in the order in which they are shown.
    """

    lines: tuple[Line, ...]

    def count(self, state: State) -> int:
        """Return how many lines have a state."""
        return sum(line.state is state for line in self.lines)

    @property
    def passed(self) -> bool:
        """Say whether nothing failed."""
        return self.count(State.failed) == 0


def examine(devices: Sequence[torch.device], runs: Path) -> Report:
    """Look at everything that training depends on.

    Args:
        devices: whose kernels are asked for known answers.
        runs: where automatic run folders go.
    """
    kernels = [line for device in devices for line in kernel_lines(device)]
    data = cifar10.default_folder()
    disks = [disk_line(RUNS, runs, needed=True), disk_line(DATA, data, needed=False)]
    return Report((*kernels, *system_lines(), *memory_lines(), *data_lines(data), *disks))


def kernel_lines(device: torch.device) -> list[Line]:
    """Return a line for each check of a device; on the CPU with the threads that are set, and with one."""
    section = f"kernels on {device} · {device_name(device)}"
    try:
        outcomes = {"": run_checks(device)}
        if device.type == "cpu":
            outcomes = {_threads(): outcomes[""]}
            with _one_thread():
                outcomes.setdefault(_threads(), run_checks(device))
    except torch.OutOfMemoryError as error:
        found = str(error).partition("\n")[0]
        return [Line(section, "memory", State.failed, found, "end what else uses this device")]
    grouped = zip(*outcomes.values(), strict=True)
    return [kernel_line(section, dict(zip(outcomes, group, strict=True))) for group in grouped]


def kernel_line(section: str, outcomes: dict[str, Outcome]) -> Line:
    """Return the line of one check.

    Args:
        section: that it belongs to.
        outcomes: by the number of threads.
    """
    name = next(iter(outcomes.values())).name
    wrong = [(how, mismatch) for how, outcome in outcomes.items() for mismatch in outcome.mismatches]
    if wrong:
        how, first = wrong[0]
        return Line(section, name, State.failed, f"{len(wrong)} wrong; {first}" + (f" ({how})" if how else ""), ADVICE)
    answers = sum(outcome.num_answers for outcome in outcomes.values())
    numbers = sum(outcome.num_numbers for outcome in outcomes.values())
    threads = f", {' and '.join(outcomes)}" if any(outcomes) else ""
    return Line(section, name, State.ok, f"{count(answers)} answers, {count(numbers)} numbers, all right{threads}")


def _threads() -> str:
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''}"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
