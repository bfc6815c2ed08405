"""How a check looks: styled in a terminal, plain text elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trainloop.bench.check.report import Adjoint, CheckReport, Coverage, Failure, Row
from trainloop.report.format import duration

UNFOLDED_WIDTH = 1_000
"""for a file, where a line may be as long as it likes and is found by searching"""
COLUMNS = ("algorithm", "direction", "type", "cases", "error", "library's", "allowed", "verdict")
WORDS = ("algorithm", "direction", "type", "verdict")
"""columns that are not numbers"""


def print_report(report: CheckReport, console: Console) -> None:
    """Print the table of errors, what was left out, the failures, and at the end, where the eye rests, the verdict."""
    if not console.is_terminal:
        console.print(Text(as_text(report)), soft_wrap=True)
        return
    for part in _page(report):
        console.print(part)


def as_text(report: CheckReport) -> str:
    """Return what :func:`print_report` prints outside of a terminal."""
    stream = io.StringIO()
    console = Console(file=stream, width=UNFOLDED_WIDTH, force_terminal=False, color_system=None, highlight=False)
    for part in _page(report):
        console.print(part)
    # A table fills its lines with spaces, which nobody wants in a file.
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _page(report: CheckReport) -> Iterator[RenderableType]:
    for operator in dict.fromkeys(row.operator for row in report.rows):
        yield Text(operator, "bold")
        yield error_table([row for row in report.rows if row.operator == operator])
        yield Text()
    yield Text(
        "error: ‖result − right‖ / ‖right‖ in the worst case, right in float64; library's: its own error there", "dim"
    )
    yield from (Text.assemble(("note  ", "cyan"), text) for text in notes(report))
    for failure in report.failures:
        yield Text()
        yield from _failure(failure)
    for pairs in _together([pair for pair in report.adjoints if not pair.ok]):
        yield Text()
        yield from _broken(pairs)
    yield Text()
    yield headline(report)


def headline(report: CheckReport) -> Text:
    """Return the verdict line."""
    word, style = ("PASSED", "bold green") if report.ok else ("FAILED", "bold red")
    return Text.assemble((word, style), f": {reason(report)} ({duration(report.seconds)}, seed {report.seed})")


def reason(report: CheckReport) -> str:
    """Return what the verdict rests on, in a clause."""
    broken = sum(not pair.ok for pair in report.adjoints)
    idle = [one.algorithm for one in report.coverage if one.nothing]
    if report.failures:
        failing = {(failure.operator, failure.algorithm) for failure in report.failures}
        return f"{len(failing)} of {_many(len(report.coverage), 'algorithm')} with {_many(len(report.failures), 'failure')}"
    if broken:
        return f"the adjoint identity does not hold for {broken} of {_many(len(report.adjoints), 'pair')}"
    if idle:
        return f"not one case was tried of {', '.join(idle)}"
    if not report.coverage:
        return "there was nothing to check"
    num_cases = sum(row.cases for row in report.rows)
    return f"{_many(len(report.coverage), 'algorithm')} right in {_many(num_cases, 'case')}"


def error_table(rows: Sequence[Row]) -> Table:
    """Return a line for each algorithm, direction and type."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    before = ""
    for row in rows:
        name, before = "" if row.algorithm == before else row.algorithm, row.algorithm
        table.add_row(name, *row_cells(row))
    return table


def row_cells(row: Row) -> tuple[str | Text, ...]:
    """Return the cells of a row beside the algorithm's name."""
    passed = row.failed == 0
    verdict = Text("right", "green") if passed else Text(f"FAIL in {row.failed}", "bold red")
    return (
        row.direction,
        row.dtype,
        str(row.cases),
        number(row.rel_err if row.failed < row.cases else math.nan),
        number(row.library_rel_err),
        number(row.allowed),
        verdict,
    )


def notes(report: CheckReport) -> Iterator[str]:
    """Yield what was not tried, and how far the adjoint identity holds."""
    for one in report.coverage:
        yield from _left_out(one)
    holding = [pair for pair in report.adjoints if pair.ok and pair.jobs]
    if holding:
        fewest, most = min(pair.jobs for pair in holding), max(pair.jobs for pair in holding)
        largest = max(pair.error for pair in holding)
        yield (
            f"⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩ for {_many(len(holding), 'pair')} of algorithms, in {fewest} to {most} "
            f"jobs each: largest difference {number(largest)} in float64"
        )


def _left_out(coverage: Coverage) -> Iterator[str]:
    name = f"{coverage.algorithm} ({coverage.operator})"
    if coverage.refused and coverage.reason:
        yield f"{name} refuses {_many(coverage.refused, 'job')}; the first: {coverage.reason}"
    if coverage.missing:
        yield f"{name} has no {' and no '.join(coverage.missing)}"
    if coverage.too_slow:
        yield f"{name} is too slow for {_many(coverage.too_slow, 'job')}, left out"
    if coverage.stopped:
        yield f"{name} had no time left after {_many(coverage.corners + coverage.drawn, 'job')}"


def _failure(failure: Failure) -> Iterator[RenderableType]:
    what = f"{failure.algorithm} ({failure.operator}), {failure.direction}: {failure.kind}, in {_many(failure.cases, 'case')}"
    yield Text.assemble(("FAIL  ", "bold red"), (what, "bold"))
    layout = f", {failure.layout}" if failure.layout else ""
    facts = {
        "smallest": f"{failure.job} ({failure.dtype}{layout})",
        "found": failure.found,
        "expected": failure.expected,
    }
    if not math.isnan(failure.rel_err):
        facts["error"] = (
            f"{number(failure.rel_err)} in the 2-norm, {number(failure.max_err)} of the worst element; allowed "
            f"{number(failure.allowed)}, the library has {number(failure.library_rel_err)}"
        )
    if failure.first_job != failure.job:
        origin = failure.corner or "drawn at random"
        facts["noticed"] = f"{failure.first_job} ({origin})"
    yield _facts(facts)


def _together(broken: Sequence[Adjoint]) -> list[list[Adjoint]]:
    """Return the broken pairs in groups that can be told in one sentence: all of some with all of some, in one job."""
    groups: dict[str, list[Adjoint]] = {}
    for pair in broken:
        groups.setdefault(pair.job, []).append(pair)
    found = []
    for pairs in groups.values():
        full = len({pair.convolution for pair in pairs}) * len({pair.transposed for pair in pairs}) == len(pairs)
        found += [pairs] if full else [[pair] for pair in pairs]
    return found


def _broken(pairs: Sequence[Adjoint]) -> Iterator[RenderableType]:
    one, other = (
        ", ".join(dict.fromkeys(names)) for names in zip(*((p.convolution, p.transposed) for p in pairs), strict=True)
    )
    yield Text.assemble(
        ("FAIL  ", "bold red"), (f"{one} (conv2d) is not adjoint to {other} (conv_transpose2d)", "bold")
    )
    pair = pairs[0]
    error = f"{number(pair.error)} of the sum of the absolute terms; allowed {number(pair.allowed)}"
    yield _facts(
        {"smallest": f"{pair.job} (float64)", "found": pair.found, "expected": "equal numbers", "error": error}
    )


def number(value: float) -> str:
    """Return an error in two digits; a dash for one that there is not."""
    return "–" if math.isnan(value) else f"{value:.1e}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _facts(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(f"  {name}", Text(value))
    return table
