"""Everything that was asked for, row by row; what was measured is kept, whatever happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainloop.bench.contestants import CHANNELS_LAST, Contestant, contestants
from trainloop.bench.machine import machine_facts
from trainloop.bench.measure import Task, measure
from trainloop.bench.peaks import measure_peaks
from trainloop.bench.problem import Problem
from trainloop.bench.results import Report, Row
from trainloop.bench.summary import summarise
from trainloop.bench.verify import dtype_name
from trainloop.device import keep_freed_memory
from trainloop.errors import InterruptedRunError, UsageError
from trainloop.manual.conv import DIRECTIONS
from trainloop.manual.conv.loops import USUAL_LIMIT_S, time_limit
from trainloop.own_kernel import load_kernel

CPU = torch.device("cpu")
SECONDS_A_ROW = 6.0
"""time budget of a problem in one direction, where the command line sets none"""
LEAST_LIMIT_S, CALLS_OF_LOOPS = 0.5, 5
"""Python loops of up to half a second are always let through; they are called about five times"""


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Args:
        problems: each with where it comes from.
        directions: some of forward, grad_input and grad_weight.
        algorithms: their names; all of them for None.
        kernels: the user's own, ``file.py:function``.
        layout: memory format of all but the built-ins.
        dtype: of all tensors.
        device: where they lie.
        seed: of the values.
        time_budget_s: for everything but the peaks, divided among the rows; None for ``SECONDS_A_ROW`` each.
        force: whether loops may take minutes.
    """

    problems: Sequence[tuple[Problem, str]]
    directions: Sequence[str] = DIRECTIONS
    algorithms: Sequence[str] | None = None
    kernels: Sequence[str] = ()
    layout: str = CHANNELS_LAST
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU
    seed: int = 0
    time_budget_s: float | None = None
    force: bool = False

    def facts(self) -> dict[str, Any]:
        """Return the settings as the report shows them."""
        return {
            "problems": [problem.text() for problem, _ in self.problems],
            "directions": list(self.directions),
            "algorithms": None if self.algorithms is None else list(self.algorithms),
            "kernels": list(self.kernels),
            "layout": self.layout,
            "dtype": dtype_name(self.dtype),
            "seed": self.seed,
            "time_budget_s": self.budget_s,
            "force": self.force,
        }

    @property
    def loops_limit_s(self) -> float:
        """Seconds that the estimated time of Python loops may be: a part of a row's budget, for they are called a few times."""
        if self.force:
            return math.inf
        of_a_row = self.budget_s / max(1, len(self.problems) * len(self.directions))
        return round(min(USUAL_LIMIT_S, max(LEAST_LIMIT_S, of_a_row / CALLS_OF_LOOPS)), 1)

    @property
    def budget_s(self) -> float:
        """Seconds for all rows."""
        usual = SECONDS_A_ROW * len(self.problems) * len(self.directions)
        return usual if self.time_budget_s is None else self.time_budget_s


@dataclass(frozen=True)
class Listener:
    """Who is told while it runs.

    Args:
        machine: what is known of the machine, before the first row.
        begins: (number from 1, of how many, problem and direction) before each row.
        ends: the report so far, and the rows that are new.
    """

    machine: Callable[[Report], None] = lambda _report: None
    begins: Callable[[int, int, str], None] = lambda _number, _total, _text: None
    ends: Callable[[Report, Sequence[Row]], None] = lambda _report, _rows: None


def run(settings: Settings, listener: Listener) -> tuple[Report, InterruptedRunError | None]:
    """Measure everything that is asked for.

    Args:
        settings: what is asked for.
        listener: who is told while it runs.

    Returns:
        The report, and the interruption if there was one: the report then holds what was measured before it.

    Raises:
        PluginError: the file of a user's own kernel.
        UsageError: a batch without images.
    """
    own = {transposed: _own(settings, transposed=transposed) for transposed in _kinds(settings)}
    _refuse_empty(settings)
    keeps_memory = keep_freed_memory()
    if settings.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # ten bits of mantissa are not float32
    peaks = measure_peaks(settings.dtype, settings.device)
    machine = machine_facts(settings.device, dtype_name(settings.dtype), peaks, keeps_memory=keeps_memory)
    rows: list[Row] = []
    began = time.perf_counter()

    def report(*, complete: bool) -> Report:
        return Report(machine, settings.facts(), tuple(rows), summarise(rows), complete, time.perf_counter() - began)

    interruption = None
    try:
        listener.machine(report(complete=False))
        tasks = list(_tasks(settings, peaks.gemm_gflops))
        for number, task in enumerate(tasks):
            listener.begins(number + 1, len(tasks), f"{task.problem.text()} {task.direction}")
            left = max(0.0, began + settings.budget_s - time.perf_counter())
            found, interruption = _measured(settings, task, own, left / (len(tasks) - number))
            rows += found
            listener.ends(report(complete=number + 1 == len(tasks) and interruption is None), found)
            if interruption is not None:
                break
    except InterruptedRunError as error:
        interruption = error
    return report(complete=interruption is None), interruption


def _measured(
    settings: Settings, task: Task, own: Mapping[bool, Sequence[Contestant]], budget_s: float
) -> tuple[list[Row], InterruptedRunError | None]:
    """Measure a task with everybody who does its kind of problem; see :func:`measure`."""
    everybody = contestants(
        task.job,
        task.direction,
        layout=settings.layout,
        names=settings.algorithms,
        own=own[task.problem.transposed],
    )
    with time_limit(settings.loops_limit_s):
        return measure(task, everybody, budget_s=budget_s)


def _tasks(settings: Settings, peak_gflops: float) -> Iterator[Task]:
    for problem, layer in settings.problems:
        for direction in settings.directions:
            yield Task(
                problem,
                layer,
                direction,
                settings.dtype,
                settings.device,
                settings.layout,
                settings.seed,
                peak_gflops,
            )


def _kinds(settings: Settings) -> list[bool]:
    """Return whether there are transposed convolutions, others, or both.

    Raises:
        UsageError: both, with a kernel of the user's own, which is one of the two.
    """
    kinds = sorted({problem.transposed for problem, _ in settings.problems})
    if len(kinds) > 1 and settings.kernels:
        raise UsageError(
            "a kernel of your own is for convolutions or for transposed ones",
            where="--kernel",
            found="problems of both kinds",
            expected="problems of one kind",
        )
    return kinds


def _own(settings: Settings, *, transposed: bool) -> list[Contestant]:
    found = []
    for text in settings.kernels:
        kernel, file = load_kernel(text, transposed=transposed)
        found.append(Contestant(kernel.name, settings.layout, kernel, file=file))
    return found


def _refuse_empty(settings: Settings) -> None:
    for problem, _ in settings.problems:
        if problem.input_shape[0] == 0:
            raise UsageError(
                "there is nothing to measure: the batch is empty",
                where="--problem",
                found=problem.text(),
                expected="n1 or more",
            )
