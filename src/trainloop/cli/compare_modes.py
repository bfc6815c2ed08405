"""``trainloop compare-modes``: prove that two training steps are the same, or name the first place where they are not."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trainloop.cli import options

EXIT_CODES = {"equal": 0, "equal_up_to_rounding": 0, "different": 1, "inconclusive": 9}


class StageName(StrEnum):
    """The stages of a step."""

    zero_grad = "zero_grad"
    forward = "forward"
    loss = "loss"
    backward = "backward"
    sync = "sync"
    step = "step"


def compare_modes(
    config: options.Config = None,
    overrides: options.Set = None,
    device: options.Device = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the run's own batches.")] = 20,
    reference: Annotated[
        str, typer.Option("--reference", metavar="KEY=VALUE,…", help="Settings of the reference; mode=builtin without.")
    ] = "",
    candidate: Annotated[
        str, typer.Option("--candidate", metavar="KEY=VALUE,…", help="Settings of the candidate; mode=manual without.")
    ] = "",
    candidate_optimizer: Annotated[
        str, typer.Option("--candidate-optimizer", metavar="FILE.py:CLASS", help="An optimizer of your own.")
    ] = "",
    candidate_model: Annotated[
        str, typer.Option("--candidate-model", metavar="FILE.py:CLASS", help="A model of your own.")
    ] = "",
    candidate_loss: Annotated[
        str, typer.Option("--candidate-loss", metavar="FILE.py:FUNCTION", help="A loss (logits, labels) of your own.")
    ] = "",
    candidate_rule: Annotated[
        str,
        typer.Option(
            "--candidate-rule",
            metavar="[RULE=]FILE.py:NAME",
            help="A rule of the tape of your own: a Rule, or a forward with its NAME_vjp beside it.",
        ),
    ] = "",
    stages: Annotated[
        list[StageName] | None, typer.Option("--stages", help="Compare this stage only; repeatable.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Every bit counts; rounding is a difference.")] = False,
    cases: Annotated[
        bool, typer.Option("--cases/--no-cases", help="Also steps made to tell known variants apart.")
    ] = True,
    time_budget: Annotated[
        float, typer.Option("--time-budget", min=0, metavar="SECONDS", help="For the times of both sides; 0 for none.")
    ] = 8.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="For one call of a stage; 0 for no limit.")
    ] = 120.0,
    plugins: options.Plugin = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict line alone.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Compare two ways to do a training step: 0 equal, 1 different, 9 inconclusive."""
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.compare.settings import Plugins, describe_sides
    from trainloop.config import Override

    own = Plugins(candidate_optimizer, candidate_model, candidate_loss, candidate_rule)
    named = [Override(f"device={device}", f"--device {device}")] if device else []
    sides = describe_sides(
        config,
        [*named, *(overrides or [])],
        reference=reference,
        candidate=candidate,
        plugins=own,
        files=plugins or [],
    )

    from trainloop.compare.key import STAGES
    from trainloop.compare.pipeline import Extras, compare_sides
    from trainloop.compare.run import Settings
    from trainloop.compare.screen import headline, print_verdict

    chosen = tuple(stage for stage in STAGES if not stages or stage in [name.value for name in stages])
    settings = Settings(steps, chosen, exact, cases, timeout or None)
    verdict = compare_sides(sides, settings, Extras(time_budget), _silent if quiet else typer.echo)
    console = make_plain_or_rich_console()
    if quiet:
        console.print(headline(verdict), soft_wrap=True)
    else:
        print_verdict(verdict, console)
    raise typer.Exit(EXIT_CODES[verdict.verdict])


def _silent(_: str) -> None:
    """Say nothing."""
