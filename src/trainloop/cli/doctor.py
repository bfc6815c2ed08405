"""``trainloop doctor``: is this machine fit to train?"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from trainloop.doctor.examine import Report
    from trainloop.doctor.line import Line

STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}


def doctor(
    device: Annotated[
        str | None,
        typer.Option(
            "--device", metavar="auto|cpu|cuda|mps", help="Ask this device alone; all that are here without it."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Check kernels against known answers, and versions, threads, memory, data and disks (exit code 1 when a check fails)."""
    import torch

    from trainloop.device import available_devices, choose_device
    from trainloop.doctor.examine import examine
    from trainloop.report.run_folder import RUNS

    devices = [choose_device(device)] if device else [torch.device(name) for name in available_devices()]
    report = examine(devices, RUNS)
    if as_json:
        typer.echo(_as_json(report))
    else:
        from trainloop.cli.render import make_plain_or_rich_console

        _print(report, make_plain_or_rich_console())
    if not report.passed:
        raise typer.Exit(1)


def _print(report: Report, console: Console) -> None:
    from rich.text import Text

    from trainloop.report.console import print_line

    width = max(len(line.name) for line in report.lines)
    for section, lines in itertools.groupby(report.lines, key=lambda line: line.section):
        print_line(console, Text(section, style="bold"))
        for line in lines:
            _print_line(line, width, console)
        console.print()
    print_line(console, _verdict(report))


def _print_line(line: Line, width: int, console: Console) -> None:
    from rich.text import Text

    from trainloop.cli.render import visible
    from trainloop.report.console import print_line

    text = Text("  ").append(f"{line.state:<8}", STYLES[line.state]).append(f"{line.name:<{width}}  ")
    print_line(console, text.append(visible(line.found)))
    if line.help:
        print_line(console, Text((12 + width) * " " + f"help: {visible(line.help)}"))


def _verdict(report: Report) -> str:
    from trainloop.doctor.line import State

    failed, notes = report.count(State.failed), report.count(State.note)
    text = f"{failed} of {len(report.lines)} checks failed" if failed else f"fit to train: {len(report.lines)} checks"
    return text + (f", {notes} note{'s' if notes > 1 else ''}" if notes else "")


def _as_json(report: Report) -> str:
    import dataclasses

    from trainloop.device import versions
    from trainloop.report.strict_json import strict_json

    lines = [dataclasses.asdict(line) for line in report.lines]
    return strict_json({"passed": report.passed, "versions": versions(), "checks": lines})
