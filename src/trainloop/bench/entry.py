"""One contestant on its way through one problem and direction: prepared, checked, then timed call by call."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainloop.bench.check.memory import filled_with_nan
from trainloop.bench.contestants import AnyJob, Contestant
from trainloop.bench.kernel_names import call_and_name
from trainloop.bench.memory import too_large
from trainloop.bench.operands import Operands
from trainloop.bench.peaks import synchronize
from trainloop.bench.verify import Right, fault_of_operands, fault_of_type, fault_of_values
from trainloop.own_kernel import raised

Timed = tuple[object, float]
"""a result, and milliseconds"""


@dataclass(eq=False)
class Entry:
    """A contestant, and what is known of it so far.

    Args:
        contestant: who.
        refusal: why it does not do this, in its own words; empty if it does.
        fault: what was wrong; empty as long as nothing was. Once something is, it is not called again.
        kernel: what ran.
        rel_err: the larger error of the checked calls.
        first_call_ms: with whatever had to be compiled.
        warm_ms: the call after it.
        workspace_mib: as it says.
        multiplications: as it says.
        samples_ms: of the timed calls.
    """

    contestant: Contestant
    refusal: str = ""
    fault: str = ""
    kernel: str = ""
    rel_err: float | None = None
    first_call_ms: float | None = None
    warm_ms: float = 0.0
    workspace_mib: float | None = None
    multiplications: int | None = None
    samples_ms: list[float] = field(default_factory=list)

    @property
    def estimate_ms(self) -> float:
        """How long a call takes, to plan with: the shortest one so far, for others may have waited for a core."""
        return min([self.warm_ms, *self.samples_ms])

    @property
    def running(self) -> bool:
        """Whether it can be called."""
        return not (self.refusal or self.fault)


def prepare(entry: Entry, operands: Operands, rights: Sequence[Right]) -> None:
    """Ask whether it does the job, call it for the first time, and check what it returns for each set of values.

    Args:
        entry: to be filled in.
        operands: of its layout.
        rights: what is right for each set, in its layout.
    """
    contestant, job, direction = entry.contestant, operands.job, operands.direction
    began = time.perf_counter()
    with contestant.active():
        try:
            entry.refusal = contestant.refuses(job, direction) or ""
            entry.refusal = entry.refusal or _no_room(entry, job, direction) or ""
            if entry.refusal:
                return
            _first_calls(entry, operands, rights, began)
            if entry.fault:
                return
            entry.kernel = entry.kernel or contestant.kernel.kernel(job, direction)  # type: ignore[arg-type]  # its kind
            entry.multiplications = contestant.multiplications(job, direction)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything, and others go on
            entry.fault = raised(contestant.file, error)


def _no_room(entry: Entry, job: AnyJob, direction: str) -> str | None:
    """Take down the workspace, and return that it does not fit, or None."""
    entry.workspace_mib = entry.contestant.workspace_mib(job, direction)
    return too_large(job, direction, int(2**20 * (entry.workspace_mib or 0)))


def _first_calls(entry: Entry, operands: Operands, rights: Sequence[Right], began: float) -> None:
    """Check a call on each set of values; the results before must stay what they were."""
    device = operands.like.device
    results: list[Tensor] = []
    errors: list[float] = []
    for number, right in enumerate(rights):
        factor = operands.refill(number)
        call = functools.partial(_timed, operands.bound(entry.contestant.kernel), device)
        if number == 0:
            result, entry.warm_ms = call()
            entry.first_call_ms = 1e3 * (time.perf_counter() - began)
        else:
            result, entry.warm_ms = _named(entry, call, operands.job)
        entry.fault = fault_of_type(result, operands) or fault_of_operands(operands) or ""
        if entry.fault:
            return
        assert isinstance(result, Tensor)
        results.append(result)
        errors.append(right.relative_error(result, factor))
        entry.fault = fault_of_values(result, errors[-1]) or ""
        if entry.fault:
            kept = number > 0 and torch.equal(result, results[0])
            entry.fault += ": it is the result of the call before, with other values" if kept else ""
            break
    entry.rel_err = max(errors)
    first, last = (result.untyped_storage().data_ptr() for result in (results[0], results[-1]))
    if not entry.fault and len(results) > 1 and first == last:
        entry.fault = "its second call overwrote what its first one had returned"


def _named(entry: Entry, call: Callable[[], Timed], job: AnyJob) -> Timed:
    """Call it on memory full of NaN; a built-in with its kernel's name taken down."""
    if not entry.contestant.builtin:
        with filled_with_nan():
            return call()
    result, entry.kernel = call_and_name(call, job)
    return result


def _timed(call: Callable[[], object], device: torch.device) -> Timed:
    """Return what a call returns, and how many milliseconds it takes."""
    synchronize(device)
    start = time.perf_counter()
    result = call()
    synchronize(device)
    return result, 1e3 * (time.perf_counter() - start)


def time_call(
    entry: Entry, operands: Operands, rights: Sequence[Right], number: int, factors: tuple[float, float]
) -> None:
    """Call it once with new values, note the time, and check what came out.

    Args:
        entry: its samples grow by one, or its fault is filled in.
        operands: of its layout.
        rights: what is right for each set, in its layout.
        number: of the set, counted on.
        factors: on the operands.
    """
    factor = operands.refill(number, factors)
    call = operands.bound(entry.contestant.kernel)
    with entry.contestant.active():
        try:
            result, elapsed_ms = _timed(call, operands.like.device)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything, and others go on
            entry.fault = f"in timed call {len(entry.samples_ms) + 1} {raised(entry.contestant.file, error)}"
            return
    fault = fault_of_type(result, operands) or fault_of_operands(operands)
    if fault is None and isinstance(result, Tensor):
        off = rights[number % len(rights)].relative_error(result, factor)
        fault = fault_of_values(result, off)
    if fault is not None:
        entry.fault = f"right at first, but not in timed call {len(entry.samples_ms) + 1} with new values: {fault}"
        return
    entry.samples_ms.append(elapsed_ms)
