"""``trainloop runs list | show | diff | clean``: what lies in run folders. Never imports torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainloop.cli.options import Debug
from trainloop.errors import ResourceError

if TYPE_CHECKING:
    from trainloop.runs.removal import Kind, Removable

app = typer.Typer(name="runs", help="List, show, compare and clean runs.", no_args_is_help=True)

RUNS = Path("runs")
RUN_HELP = "Run folder, a name in runs/ or its beginning, or latest."
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run folders, or one run folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_(folder: Folder = RUNS, as_json: AsJson = False, debug: Debug = False) -> None:
    """List the runs in a folder, the newest first: state, steps, accuracy, time, size."""
    del debug
    from trainloop.runs.overview import list_runs

    rows = [] if _is_not_there_yet(folder) else list_runs(folder)
    if as_json:
        _print_json({"folder": str(folder), "runs": [row.as_dict() for row in rows]})
        return
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.cli.runs_screen import print_list

    print_list(rows, folder, make_plain_or_rich_console())


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)], as_json: AsJson = False, debug: Debug = False
) -> None:
    """Show one run: config, machine, results, checkpoints (verified), epochs, and how to go on with it."""
    del debug
    from trainloop.runs.details import read_details
    from trainloop.runs.naming import find_run

    details = read_details(find_run(run))
    if as_json:
        _print_json(details.as_dict())
        return
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.cli.runs_screen import print_details

    print_details(details, make_plain_or_rich_console())


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=RUN_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare two runs: config, machine, results, the first step at which the metrics differ, weights."""
    del debug
    from trainloop.runs.difference import compare_runs
    from trainloop.runs.naming import find_run

    difference = compare_runs(find_run(a), find_run(b))
    if as_json:
        _print_json(difference.as_dict())
        return
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.cli.runs_screen import print_difference

    print_difference(difference, make_plain_or_rich_console())


@app.command()
def clean(
    folder: Folder = RUNS,
    empty: Annotated[
        bool, typer.Option("--empty", help="Runs without a checkpoint or result too: their config and metrics go.")
    ] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Checkpoints of finished runs too; weights and best epoch stay.")
    ] = False,
    best: Annotated[bool, typer.Option("--best", help="The best epoch's checkpoints of finished runs too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Say what could be removed, and remove temporary files of processes that died, or more, once it is confirmed."""
    del debug
    from trainloop.runs.removal import Plan, find_removable

    asked = {"empty": empty, "checkpoints": checkpoints, "best": best}
    kinds: list[Kind] = ["temporary", *(kind for kind in ("empty", "checkpoints", "best") if asked[kind])]
    plan = Plan((), ()) if _is_not_there_yet(folder) else find_removable(folder)
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.cli.runs_screen import print_plan

    print_plan(plan, kinds, make_plain_or_rich_console())
    wanted = plan.of(kinds)
    if wanted:
        _remove(wanted, confirmed=yes or _confirmed())


def _remove(wanted: tuple[Removable, ...], *, confirmed: bool) -> None:
    from trainloop.cli.runs_screen import kept_line
    from trainloop.report.format import size
    from trainloop.runs.removal import remove

    if not confirmed:
        typer.echo("nothing was removed; --yes removes what is marked with ×")
        return
    removal = remove(wanted)
    for kept in removal.kept:
        typer.echo(kept_line(kept))
    typer.echo(f"removed {size(sum(item.bytes for item in removal.items))}")
    if removal.faults:
        raise ResourceError(removal.faults)


def _confirmed() -> bool:
    """Ask, where somebody can answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm("remove what is marked with ×?", default=False)


def _is_not_there_yet(folder: Path) -> bool:
    """Say whether nobody has trained here yet, which is no mistake."""
    return folder == RUNS and not folder.exists()


def _print_json(facts: Mapping[str, Any]) -> None:
    from trainloop.report.strict_json import strict_json

    typer.echo(strict_json(facts, ascii_only=True))
