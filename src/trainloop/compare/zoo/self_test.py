"""The self-test: every seeded fault must be caught at the right stage and tensor, and no clean pair may raise an alarm."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainloop.compare.api import compare
from trainloop.compare.guard import TimeLimit
from trainloop.compare.verdict import Cause, Verdict
from trainloop.compare.wording import NO_CAUSE
from trainloop.compare.zoo.clean import Clean, clean_pairs
from trainloop.compare.zoo.fault import Fault, Pair
from trainloop.compare.zoo.faults import FAULTS, SHORT
from trainloop.manual.errors import CompilerError
from trainloop.random_state import RandomState
from trainloop.report.format import duration, percent

NAMED_STAGES = ("step", "loss")
"""whose causes count: those of updates and losses can be told from numbers alone"""
LEAST_NAMING_RATE = 0.9
SKIPPED = "skipped"


@dataclass(frozen=True)
class FaultRow:
    """What became of one seeded fault.

    Args:
        name: of the fault.
        stage: where it was put.
        is_edit: it is an edit of the source.
        caught: the two were found different.
        right_stage: and the first difference was seen in its stage.
        right_tensor: and in a tensor that it spoils.
        cause: that was named.
        cause_right: whether that is the one expected; None where any will do.
        found: the verdict in one sentence, or the exception.
        seconds: it took.
    """

    name: str
    stage: str
    is_edit: bool
    caught: bool
    right_stage: bool
    right_tensor: bool
    cause: str
    cause_right: bool | None
    found: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was caught, where it is."""
        return self.caught and self.right_stage and self.right_tensor


@dataclass(frozen=True)
class CleanRow:
    """What became of one clean pair.

    Args:
        name: of the pair.
        verdict: in one word; ``skipped`` where this machine cannot run it, ``error`` for an exception.
        found: the verdict in one sentence, or the reason.
        seconds: it took.
    """

    name: str
    verdict: str
    found: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether there was no alarm."""
        return self.verdict in ("equal", "equal_up_to_rounding", SKIPPED)


@dataclass(frozen=True)
class SelfTestReport:
    """What the self-test found.

    Args:
        faults: one row each.
        clean: one row each.
        seconds: the whole test took.
    """

    faults: tuple[FaultRow, ...]
    clean: tuple[CleanRow, ...]
    seconds: float

    @property
    def kill_rate(self) -> float:
        """Return the share of faults that were caught at the right stage and tensor."""
        return _share(row.killed for row in self.faults)

    @property
    def false_alarms(self) -> int:
        """Return how many clean pairs did not pass."""
        return sum(not row.passed for row in self.clean)

    @property
    def naming_rate(self) -> float:
        """Return the share of faults of the update and the loss whose cause is the expected one."""
        return _share(
            row.cause_right for row in self.faults if row.stage in NAMED_STAGES and row.cause_right is not None
        )

    @property
    def passed(self) -> bool:
        """Whether the comparison can be believed."""
        return self.kill_rate == 1 and not self.false_alarms and self.naming_rate >= LEAST_NAMING_RATE


def self_test(*, short: bool = False, announce: Callable[[str], None] = lambda _: None) -> SelfTestReport:
    """Run every seeded fault and the clean pairs.

    Args:
        short: every fifth fault, and the clean pairs that do not take long.
        announce: told in one line what is done next.

    Returns:
        the report. An exception in a row makes this row fail, and no other.
    """
    began = time.perf_counter()
    with _process_untouched():
        seeded = SHORT if short else FAULTS
        announce(f"{len(seeded)} seeded faults")
        faults = tuple(run_fault(fault) for fault in seeded)
        pairs = [pair for pair in clean_pairs() if pair.short or not short]
        announce(f"{len(pairs)} clean pairs")
        clean = tuple(run_clean(pair) for pair in pairs)
    return SelfTestReport(faults, clean, time.perf_counter() - began)


def run_fault(fault: Fault) -> FaultRow:
    """Compare one seeded fault with what is right.

    Args:
        fault: of the zoo.
    """
    began = time.perf_counter()
    verdict: Verdict | None = None
    try:
        # These tensors are so small that a second thread is waited for longer than it helps.
        with _threads(1):
            verdict = _compared(fault.pair())
        found = verdict.reason
    except Exception as error:  # noqa: BLE001  # a row that fails, not a crash
        found = _exception(error)
    first = None if verdict is None or verdict.verdict != "different" else verdict.first
    cause = None if verdict is None else verdict.cause
    return FaultRow(
        fault.name,
        fault.stage,
        fault.edit is not None,
        caught=first is not None,
        right_stage=first is not None and first.stage == fault.stage,
        right_tensor=first is not None and re.fullmatch(fault.tensor, first.tensor) is not None,
        cause="" if cause is None else cause.name,
        cause_right=cause_right(fault.cause, cause),
        found=found,
        seconds=time.perf_counter() - began,
    )


def cause_right(expected: Sequence[str] | None, cause: Cause | None) -> bool | None:
    """Tell whether the right cause was named; None where any will do.

    Args:
        expected: names, one of which is right; none of them where no known deviation is; None for any.
        cause: that was found. Deviations that it could not tell apart from the one it names count as named.
    """
    if expected is None:
        return None
    if cause is None:
        return False
    if not expected:
        return cause.name == NO_CAUSE
    return any(name in expected for name in (cause.name, *cause.also))


def run_clean(clean: Clean) -> CleanRow:
    """Compare one clean pair.

    Args:
        clean: two steps that are the same.
    """
    began = time.perf_counter()
    try:
        with _threads(clean.threads or torch.get_num_threads()):
            verdict = _compared(clean.make())
        word, found = str(verdict.verdict), verdict.reason
    except CompilerError as error:
        word, found = SKIPPED, str(error)
    except Exception as error:  # noqa: BLE001  # a row that fails, not a crash
        word, found = "error", _exception(error)
    return CleanRow(clean.name, word, found, time.perf_counter() - began)


def _compared(pair: Pair) -> Verdict:
    torch.manual_seed(0)  # what dropout draws
    return compare(pair.reference, pair.candidate, pair.data, cases=pair.cases)


def _exception(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _share(flags: Iterable[bool | None]) -> float:
    found = list(flags)
    return sum(map(bool, found)) / len(found) if found else 0.0


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _process_untouched() -> Iterator[None]:
    """Put back what a comparison sets for the whole process: the random streams and the limit on time."""
    random, limit = RandomState(torch.device("cpu")), TimeLimit.seconds
    try:
        yield
    finally:
        random.rewind()
        TimeLimit.seconds = limit


# What it looks like


def print_self_test(report: SelfTestReport, console: Console) -> None:
    """Print the rows that failed, if any, and a summary.

    Args:
        report: what was found.
        console: styled in a terminal, plain text elsewhere.
    """
    failed = [*_failed_faults(report), *_failed_pairs(report)]
    if failed:
        table = Table("what failed", "what is wrong with it", "found", box=None, pad_edge=False)
        for name, wrong, found in failed:
            table.add_row(Text(name), Text(wrong, style="red"), Text(found))
        with console.capture() as capture:
            console.print(table)
        for line in capture.get().splitlines():
            console.print(Text.from_ansi(line.rstrip()), soft_wrap=True)
        console.print()
    for line in summary(report):
        console.print(Text(line), soft_wrap=True)
    word, style = ("passed", "bold green") if report.passed else ("FAILED", "bold red")
    console.print(Text(f"self-test {word}", style=style))


def summary(report: SelfTestReport) -> Iterator[str]:
    """Yield the numbers of a self-test, line by line."""
    faults, clean = report.faults, report.clean
    edits, killed = sum(row.is_edit for row in faults), sum(row.killed for row in faults)
    yield f"seeded faults   {killed} of {len(faults)} caught at the right stage and tensor ({edits} are edits of the source)"
    skipped = sum(row.verdict == SKIPPED for row in clean)
    left_out = f", {skipped} of them skipped" if skipped else ""
    yield f"clean pairs     {report.false_alarms} false alarms in {len(clean)}{left_out}"
    yield f"causes          {percent(report.naming_rate)} of those of updates and losses named right"
    yield f"took            {duration(report.seconds)}"


def _failed_faults(report: SelfTestReport) -> Iterator[tuple[str, str, str]]:
    for row in report.faults:
        if not row.caught:
            yield row.name, "not caught", row.found
        elif not row.right_stage:
            yield row.name, f"not seen in stage {row.stage}", row.found
        elif not row.right_tensor:
            yield row.name, "seen in another tensor", row.found
        elif row.cause_right is False and row.stage in NAMED_STAGES:
            yield row.name, "another cause named", row.cause or "no cause"


def _failed_pairs(report: SelfTestReport) -> Iterator[tuple[str, str, str]]:
    for row in report.clean:
        if not row.passed:
            yield row.name, "false alarm" if row.verdict == "different" else row.verdict, row.found
        elif row.verdict == SKIPPED:
            yield row.name, SKIPPED, row.found
