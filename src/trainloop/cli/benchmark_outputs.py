"""Where ``trainloop benchmark-conv`` leaves what it measured: on the screen while it runs and after, and in files."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trainloop.cli.outputs import check_outputs, named_files, printed
from trainloop.errors import Fault, InterruptedRunError, ResourceError, TrainloopError

if TYPE_CHECKING:
    from trainloop.bench.results import Report, Row
    from trainloop.bench.run import Settings
    from trainloop.cli.benchmark_request import Request

PICTURES = {"--chart": ("svg", "png")}


@dataclass(frozen=True)
class BenchmarkOutputs:
    """What the command line asks for.

    Args:
        json: file for JSON, or ``-``; None for none.
        markdown: likewise for Markdown.
        chart: file for the picture.

    Raises:
        UsageError: a file is a folder or has the wrong ending, or two outputs go to standard output.
    """

    json: str | None = None
    markdown: str | None = None
    chart: str | None = None

    def __post_init__(self) -> None:
        """Refuse before the work what cannot be written after it."""
        check_outputs(self.files, PICTURES)

    @property
    def files(self) -> dict[str, str | None]:
        """What each option names."""
        return {"--json": self.json, "--markdown": self.markdown, "--chart": self.chart}

    @property
    def printed(self) -> str:
        """``json`` or ``markdown`` if that goes to standard output, and then nothing else does; else nothing."""
        return printed(self.files)


def run_and_show(settings: Settings, outputs: BenchmarkOutputs) -> int:
    """Measure, print, write, and return the exit code.

    Raises:
        PluginError: the file of a user's own kernel.
        ResourceError: a file that could not be written, what was measured having been printed; or no problem fits into memory.
        InterruptedRunError: after what was measured has been printed and written.
    """
    from trainloop.bench.run import Listener, run

    progress = _Progress(outputs)
    # What a kernel of the user's own prints belongs beside the tables, not into them.
    with contextlib.redirect_stdout(sys.stderr):
        report, interruption = run(settings, Listener(progress.machine, progress.begins, progress.ends))
    progress.break_line()
    if report.rows:
        _show(report, outputs)
        _write_all(report, outputs)
    if interruption is not None:
        raise InterruptedRunError(
            interruption.faults[0].what,
            found=f"{len(report.rows)} rows measured before it",
            help="they are above, and in the files that were asked for" if report.rows else "",
            exit_code=interruption.exit_code,
        )
    if report.rows and all(row.ok is None for row in report.rows):
        raise ResourceError(
            "nothing could be measured",
            found=report.rows[0].reason,
            help="choose a smaller problem, or another machine",
        )
    return 1 if report.failures else 0


class _Progress:
    """One line for each problem and direction on standard error, and the JSON file brought up to date after it."""

    def __init__(self, outputs: BenchmarkOutputs) -> None:
        self._outputs = outputs
        self._open = False

    def machine(self, report: Report) -> None:
        from trainloop.bench.wording import facts

        known = facts(report)
        typer.echo(f"{known['machine']}; {known['peaks']}", err=True)

    def begins(self, number: int, total: int, text: str) -> None:
        typer.echo(f"[{number}/{total}] {text} …", nl=False, err=True)
        self._open = True

    def ends(self, report: Report, rows: Sequence[Row]) -> None:
        from trainloop.bench.wording import in_short

        typer.echo(f" {in_short(rows)}", err=True)
        self._open = False
        file = named_files(self._outputs.files).get("--json")
        if file is not None:
            # What is measured stays, even if the system ends the process. A file that cannot be written is said at the end,
            # when the rows stand on the screen.
            with contextlib.suppress(TrainloopError):
                _write(file, _text("json", report).encode())

    def break_line(self) -> None:
        """End a line that was begun and interrupted."""
        if self._open:
            typer.echo(err=True)


def _show(report: Report, outputs: BenchmarkOutputs) -> None:
    from trainloop.bench.screen import print_report
    from trainloop.cli.render import make_plain_or_rich_console

    if outputs.printed:
        typer.echo(_text(outputs.printed, report), nl=False)
    else:
        print_report(report, make_plain_or_rich_console())


def _write_all(report: Report, outputs: BenchmarkOutputs) -> None:
    """Write the files that are asked for.

    Raises:
        ResourceError: files that could not be written, all of them.
    """
    faults: list[Fault] = []
    for option, name in named_files(outputs.files).items():
        try:
            _write(name, _content(option, name, report))
        except TrainloopError as error:
            faults.extend(error.faults)
        else:
            if not outputs.printed:
                typer.echo(f"written: {name}")
    if faults:
        raise ResourceError(faults)


def _content(option: str, name: str, report: Report) -> bytes:
    if option == "--chart":
        from trainloop.bench.chart import chart

        return chart(report, Path(name).suffix.lower().removeprefix("."))
    return _text(option.removeprefix("--"), report).encode()


def _text(kind: str, report: Report) -> str:
    """Return the report as ``json`` or ``markdown``."""
    from trainloop.bench.as_json import as_json
    from trainloop.bench.as_markdown import as_markdown

    return {"json": as_json, "markdown": as_markdown}[kind](report)


def _write(name: str, content: bytes) -> None:
    from trainloop import files

    files.write_bytes(Path(name), content)


def run_check(request: Request, outputs: BenchmarkOutputs) -> int:
    """Check correctness alone, print and write what was found, and return the exit code.

    Raises:
        UsageError: a name that is not known, or a number that cannot be.
        PluginError: the file of a user's own kernel.
    """
    from trainloop.bench.check import check
    from trainloop.bench.check.as_json import as_json
    from trainloop.bench.check.screen import print_report
    from trainloop.cli.benchmark_request import CHECK_CASES
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.manual.conv.loops import time_limit

    request.check_numbers()
    directions, dtypes, algorithms = request.chosen_directions(), request.check_dtypes(), request.check_algorithms()
    request.set_threads()
    cases = CHECK_CASES if request.cases is None else request.cases
    with time_limit(math.inf) if request.force else contextlib.nullcontext():
        found = check(
            algorithms,
            directions=directions,
            dtypes=dtypes,
            cases=cases,
            seed=request.seed,
            budget_s=request.time_budget_s,
        )
    text = as_json(found)
    if outputs.printed:
        typer.echo(text, nl=False)
    else:
        print_report(found, make_plain_or_rich_console())
    for name in named_files(outputs.files).values():
        _write(name, text.encode())
        typer.echo(f"written: {name}")
    return 0 if found.ok else 1


def print_suites() -> None:
    """Print every suite with its problems."""
    from trainloop.bench.suites import SUITES

    for number, (name, suite) in enumerate(SUITES.items()):
        typer.echo(f"{'' if number == 0 else chr(10)}{name}: {suite.about}")
        width = max(len(text) for text, _ in suite.rows)
        for text, layer in suite.rows:
            typer.echo(f"  {text:<{width}}  {layer}")
