"""One problem in one direction: everybody is checked, then whoever was right is timed, in turns.

    round 1: A B C      round 2: B C A      round 3: C A B      …

so that a machine that slows down slows everybody down, and nobody always comes after the same one. Before each call the
operands get new values, after it the result is checked; neither is in the time. Who is much slower than the library has few
rounds.
"""

from __future__ import annotations

import dataclasses
import gc
import random
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from trainloop.bench.contestants import ATEN, AnyJob, Contestant
from trainloop.bench.entry import Entry, prepare, time_call
from trainloop.bench.memory import too_large
from trainloop.bench.operands import NUM_SETS, Operands, Values, draw, random_factors
from trainloop.bench.oracle import right
from trainloop.bench.problem import Problem
from trainloop.bench.results import Row, shown
from trainloop.bench.verify import Right
from trainloop.errors import InterruptedRunError
from trainloop.intervals import interval_of_ratio

MIN_ROUNDS, MAX_ROUNDS = 5, 100
SLOW, FEW_ROUNDS = 8.0, 3
"""who takes so many times as long as the better built-in is timed for no longer than its share, but so many times"""
PATIENCE_S = 1.0
"""however small the budget: who is done in so long is called as often as the others"""
FEWEST_FOR_INTERVAL = 3


@dataclass(frozen=True)
class Task:
    """What is to be measured.

    Args:
        problem: the convolution.
        layer: where it comes from.
        direction: forward, grad_input or grad_weight.
        dtype: of all tensors.
        device: where they lie.
        layout: of all but the built-ins.
        seed: of the values.
        peak_gflops: what percentages refer to.
    """

    problem: Problem
    layer: str
    direction: str
    dtype: torch.dtype
    device: torch.device
    layout: str
    seed: int
    peak_gflops: float

    @property
    def job(self) -> AnyJob:
        """The problem as algorithms take it."""
        return self.problem.job(self.dtype, self.device.type)


@torch.no_grad()
def measure(
    task: Task, contestants: Sequence[Contestant], *, budget_s: float
) -> tuple[list[Row], InterruptedRunError | None]:
    """Check and time everybody.

    Args:
        task: what is to be measured.
        contestants: who takes part.
        budget_s: no further round begins after so long, once there are a few.

    Returns:
        A row for each contestant, in their order; and the interruption, if there was one while times were being taken: the rows
        then hold what there is.
    """
    began = time.perf_counter()
    job, entries = task.job, [Entry(contestant) for contestant in contestants]
    reason = too_large(job, task.direction)
    if reason is not None:
        return _rows(task, [dataclasses.replace(entry, refusal=reason) for entry in entries]), None
    sets = [draw(job, task.direction, number, seed=task.seed, bias=task.problem.bias) for number in range(NUM_SETS)]
    layouts = dict.fromkeys(contestant.layout for contestant in contestants)
    rights = _rights(task, sets, layouts)
    operands = {layout: Operands(job, task.direction, sets, layout) for layout in layouts}
    del sets
    for entry in entries:
        layout = entry.contestant.layout
        prepare(entry, operands[layout], rights[layout])
    interruption = None
    try:
        with _no_collection():
            _rounds(entries, operands, rights, deadline=began + budget_s, budget_s=budget_s)
    except InterruptedRunError as error:
        interruption = error
    return _rows(task, entries), interruption


def _rights(task: Task, sets: Sequence[Values], layouts: Iterable[str]) -> dict[str, list[Right]]:
    """Return what is right for each set of values, by layout."""
    found: dict[str, list[Right]] = {layout: [] for layout in layouts}
    for values in sets:
        exact = right(task.job, task.direction, values.first, values.second, values.bias)
        for layout, rights in found.items():
            rights.append(Right(exact, values.first, layout))
    return found


def _rounds(
    entries: Sequence[Entry],
    operands: Mapping[str, Operands],
    rights: Mapping[str, Sequence[Right]],
    *,
    deadline: float,
    budget_s: float,
) -> None:
    """Time everybody who was right, in turns, until the time is used up."""
    source = random.Random(0)
    for number in range(MAX_ROUNDS):
        if number in (0, FEW_ROUNDS):  # a single call before the first round may have been slow by chance
            allowed = _allowed_rounds(entries, budget_s)
        if number >= MIN_ROUNDS and time.perf_counter() > deadline:
            break
        turn = [entry for entry in entries if entry.running and number < allowed[entry]]
        first = number % max(1, len(turn))
        for entry in turn[first:] + turn[:first]:
            layout = entry.contestant.layout
            time_call(entry, operands[layout], rights[layout], number, random_factors(source))


def _allowed_rounds(entries: Sequence[Entry], budget_s: float) -> dict[Entry, int]:
    """Return for each entry how many rounds it takes part in."""
    running = [entry for entry in entries if entry.running]
    fastest = min((entry.estimate_ms for entry in running if entry.contestant.builtin), default=0.0)
    budget_ms = 1e3 * max(budget_s, PATIENCE_S)
    allowed = dict.fromkeys(entries, MAX_ROUNDS)
    for entry in running:
        if entry.contestant.builtin or entry.estimate_ms <= SLOW * fastest:
            continue
        share = int(budget_ms / len(running) / entry.estimate_ms)
        few = FEW_ROUNDS if FEW_ROUNDS * entry.estimate_ms <= budget_ms else 1
        allowed[entry] = max(few, min(share, MAX_ROUNDS))
    return allowed


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let Python collect no garbage in between."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _rows(task: Task, entries: Sequence[Entry]) -> list[Row]:
    timed = [entry for entry in entries if entry.contestant.builtin and entry.samples_ms and not entry.fault]
    best = min(timed, key=lambda entry: statistics.median(entry.samples_ms), default=None)
    # In float64 the library is what everybody is held against.
    library = None
    if task.dtype != torch.float64:
        own = (e for e in entries if e.contestant.name == ATEN and e.contestant.layout == task.layout)
        library = next((entry.rel_err for entry in own), None)
    return [_row(task, entry, best, library) for entry in entries]


def _row(task: Task, entry: Entry, best: Entry | None, library: float | None) -> Row:
    who, gflop = entry.contestant, 2e-9 * task.job.direct_multiplications
    facts = Row(
        problem=task.problem.text(),
        layer=task.layer,
        direction=task.direction,
        algorithm=who.name,
        layout=who.layout,
        builtin=who.builtin,
        kernel=entry.kernel,
        ok=None if entry.refusal else not entry.fault,
        reason=entry.refusal or entry.fault,
        rel_err=entry.rel_err,
        library_rel_err=library,
        first_call_ms=None if entry.fault else entry.first_call_ms,
        gflop=gflop,
        workspace_mib=entry.workspace_mib,
    )
    if entry.fault or not entry.samples_ms:
        return facts
    return _with_times(facts, entry, best, task.peak_gflops)


def _with_times(row: Row, entry: Entry, best: Entry | None, peak_gflops: float) -> Row:
    samples = entry.samples_ms
    median = statistics.median(samples)
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else [median] * 3
    actual = None if entry.multiplications is None else 2e-6 * entry.multiplications / median
    speedup, ci = None, None
    if best is not None:
        speedup = statistics.median(best.samples_ms) / median
        if min(len(samples), len(best.samples_ms)) >= FEWEST_FOR_INTERVAL:
            ci = interval_of_ratio(best.samples_ms, samples)
    return dataclasses.replace(
        row,
        median_ms=median,
        iqr_ms=quartiles[2] - quartiles[0],
        num_samples=len(samples),
        samples_ms=tuple(samples),
        speedup=speedup,
        speedup_ci=ci,
        baseline="" if best is None else shown(best.contestant.name, best.contestant.layout),
        gflops_effective=1e3 * row.gflop / median,
        gflops_actual=actual,
        percent_of_peak=None if actual is None else 100 * actual / peak_gflops,
    )
