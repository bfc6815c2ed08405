"""``trainloop verify-resume``: prove for a config that killing a run and going on changes no bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from trainloop.verify_resume.proof import Kill, Proof

COLUMNS = (("kill", 4), ("run", 4), ("aimed", 19), ("in a save", 9), ("at step", 8), ("goes on from", 12))


def verify_resume(
    config: options.Config = None,
    mode: options.Mode = None,
    device: options.Device = None,
    overrides: options.Set = None,
    plugins: options.Plugin = None,
    kills: Annotated[int, typer.Option("--kills", min=1, help="How many times a run is killed.")] = 5,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the runs in this new folder; else they go, unless something is wrong."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Run a config through, kill copies of it with SIGKILL and go on with them, and compare every bit of the ends.

    Takes some two or three times as long as the run; --set train.max_steps=200 shortens a long one.
    """
    from trainloop.cli.train import load

    loaded = load(config, mode, device, overrides)

    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.verify_resume import prove
    from trainloop.verify_resume.place import proof_folder

    screen = Screen(make_plain_or_rich_console(), quiet=as_json)
    with proof_folder(keep) as place:
        proof = prove(
            loaded.config,
            place.path,
            kills=kills,
            plugins=plugins or [],
            announce=screen.say,
            on_kill=screen.kill,
        )
        place.keep = place.keep or not proof.passed
    if as_json:
        typer.echo(_as_json(proof))
    else:
        screen.ends(proof)
    if not proof.passed:
        raise _refutation(proof, place.path)


class Screen:
    """Print a proof while it goes on.

    Args:
        console: where to.
        quiet: print nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._kills = 0

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            from trainloop.report.console import print_line

            print_line(self._console, text)

    def kill(self, kill: Kill) -> None:
        """Print the row of one kill, headings before the first."""
        if self._kills == 0:
            self.say(_row([name for name, _ in COLUMNS]))
        self._kills += 1
        goes_on_from = f"step {kill.newest:,}" if kill.newest else "the start"
        inside = "yes" if kill.during_save else "no"
        self.say(_row([str(self._kills), str(kill.run), kill.aim.value, inside, f"{kill.at_step:,}", goes_on_from]))

    def ends(self, proof: Proof) -> None:
        """Print how the ends compare."""
        from trainloop.report.console import print_table

        self.say("")
        rows = []
        for number, run in enumerate(proof.parts, 1):
            for part in run:
                verdict = f"differ, first {part.first}" if part.first else "the same bits"
                rows.append((str(number), part.part, f"{part.count:,}", verdict))
        print_table(self._console, ("run", "at the end", "compared", "verdict"), rows, right=("compared",))
        self.say("")
        if proof.passed:
            lost = max((kill.at_step - kill.newest for kill in proof.kills), default=0)
            self.say(
                f"{len(proof.kills)} kills, {sum(kill.during_save for kill in proof.kills)} of them inside a save: no "
                f"checkpoint lost, at most {max(lost, 0):,} steps done again, and every bit as without a break"
            )


def faults(proof: Proof) -> list[str]:
    """Return what is wrong, in words."""
    lost = [f"kill {number}: {kill.fault}" for number, kill in enumerate(proof.kills, 1) if kill.fault]
    other = [
        f"run {number}, {part.part}: {part.first}"
        for number, run in enumerate(proof.parts, 1)
        for part in run
        if part.first
    ]
    return lost + other


def _refutation(proof: Proof, place: Path) -> Exception:
    from trainloop.errors import CheckFailedError

    reasons = list(dict.fromkeys(proof.not_exact_because))
    said = f"; the runs say themselves that bits may differ, because {'; '.join(reasons)}" if reasons else ""
    return CheckFailedError(
        "a run that was killed and taken up again is not the run without a break",
        where=str(place),
        found="\n".join(faults(proof)),
        expected=f"the same bits, and no more than {proof.every:,} steps done again after a kill",
        help=f"the runs are kept there, to be looked at{said}",
    )


def _row(cells: list[str]) -> str:
    widths = [width for _, width in COLUMNS]
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _as_json(proof: Proof) -> str:
    import dataclasses
    import json

    return json.dumps({"passed": proof.passed, **dataclasses.asdict(proof)}, indent=2)
