"""``trainloop compare-modes``: prove that two training steps are the same, or name the first place where they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options
from trainloop.cli.compare_outputs import Outputs, show, write
from trainloop.errors import UsageError

if TYPE_CHECKING:
    from trainloop.compare.key import Stage

EXIT_CODES = {"equal": 0, "equal_up_to_rounding": 0, "different": 1, "inconclusive": 9}
SELF_TEST_OPTIONS = {"self_test", "self_test_short", "json_file", "quiet", "debug"}

Steps = Annotated[int, typer.Option("--steps", help="Steps of the run's own batches.")]
Reference = Annotated[
    str, typer.Option("--reference", metavar="KEY=VALUE,…", help="Settings of the reference; mode=builtin without.")
]
Candidate = Annotated[
    str, typer.Option("--candidate", metavar="KEY=VALUE,…", help="Settings of the candidate; mode=manual without.")
]
OwnOptimizer = Annotated[
    str, typer.Option("--candidate-optimizer", metavar="FILE.py:CLASS", help="An optimizer of your own.")
]
OwnModel = Annotated[str, typer.Option("--candidate-model", metavar="FILE.py:CLASS", help="A model of your own.")]
OwnLoss = Annotated[
    str, typer.Option("--candidate-loss", metavar="FILE.py:FUNCTION", help="A loss (logits, labels) of your own.")
]
OwnRule = Annotated[
    str,
    typer.Option(
        "--candidate-rule",
        metavar="[RULE=]FILE.py:NAME",
        help="A rule of the tape of your own: a Rule, or a forward with its NAME_vjp beside it.",
    ),
]
OwnConv = Annotated[
    str,
    typer.Option(
        "--candidate-conv",
        metavar="NAME|FILE.py:FUNCTION",
        help="What does its convolutions: an algorithm such as winograd, or a kernel of your own; aten does what it does not.",
    ),
]
StageNames = Annotated[
    list[str] | None,
    typer.Option("--stages", metavar="STAGE,…", help="Compare these stages only; repeatable."),
]
Exact = Annotated[bool, typer.Option("--exact", help="Every bit counts; rounding is a difference.")]
Cases = Annotated[bool, typer.Option("--cases/--no-cases", help="Also steps made to tell known variants apart.")]
TimeBudget = Annotated[
    float, typer.Option("--time-budget", metavar="SECONDS", help="For the times of both sides; 0 for none.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="For one call of a stage; 0 for no limit.")
]
Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE|-", help="Write one JSON object too; - prints nothing else.")
]
Markdown = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE|-", help="Write Markdown too; - prints nothing else.")
]
Junit = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for a CI server too.")]
Curves = Annotated[
    str | None, typer.Option("--curves", metavar="FILE.png", help="Draw the losses and the distance of the weights.")
]
Reproduction = Annotated[
    str | None,
    typer.Option(
        "--reproduction",
        metavar="DIR|none",
        help="Where to leave a script that shows the first difference alone; runs/compare-<name>-<time> without it.",
    ),
]
SelfTest = Annotated[
    bool, typer.Option("--self-test", help="Instead: compare steps with known faults, which must all be found.")
]
SelfTestShort = Annotated[bool, typer.Option("--self-test-short", help="The same without what takes long.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict line alone.")]


def compare_modes(
    context: typer.Context,
    config: options.Config = None,
    overrides: options.Set = None,
    device: options.Device = None,
    steps: Steps = 20,
    reference: Reference = "",
    candidate: Candidate = "",
    candidate_optimizer: OwnOptimizer = "",
    candidate_model: OwnModel = "",
    candidate_loss: OwnLoss = "",
    candidate_rule: OwnRule = "",
    candidate_conv: OwnConv = "",
    stages: StageNames = None,
    exact: Exact = False,
    cases: Cases = True,
    time_budget: TimeBudget = 8.0,
    timeout: Timeout = 120.0,
    plugins: options.Plugin = None,
    json_file: Json = None,
    markdown: Markdown = None,
    junit: Junit = None,
    curves: Curves = None,
    reproduction: Reproduction = None,
    self_test: SelfTest = False,
    self_test_short: SelfTestShort = False,
    quiet: Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Compare two ways to do a training step: 0 equal, 1 different, 9 inconclusive."""
    outputs = Outputs(json_file, markdown, junit, curves, quiet)
    if self_test or self_test_short:
        _refuse_beside_self_test(context)
        raise typer.Exit(_run_self_test(outputs, short=self_test_short))
    _require_at_least("--steps", steps, 1)
    _require_at_least("--time-budget", time_budget, 0)
    _require_at_least("--timeout", timeout, 0)
    chosen = _chosen_stages(stages or [])

    from trainloop.compare.settings import Plugins, describe_sides
    from trainloop.config import Override

    named = [Override(f"device={device}", f"--device {device}")] if device else []
    sides = describe_sides(
        config,
        [*named, *(overrides or [])],
        reference=reference,
        candidate=candidate,
        plugins=Plugins(candidate_optimizer, candidate_model, candidate_loss, candidate_rule, candidate_conv),
        files=plugins or [],
    )

    from trainloop.compare.pipeline import Extras, compare_sides
    from trainloop.compare.run import Settings

    settings = Settings(steps, chosen, exact, cases, timeout if 0 < timeout < math.inf else None)
    extras = Extras(time_budget, _folder_of(reproduction, config))
    verdict = compare_sides(sides, settings, extras, outputs.announce)
    show(verdict, outputs)
    raise typer.Exit(EXIT_CODES[verdict.verdict])


def _folder_of(reproduction: str | None, config: Path | None) -> Path | None:
    """Return where the script for a difference goes; None where none is wanted."""
    if reproduction is not None:
        return None if reproduction == "none" else Path(reproduction)
    from trainloop.compare.reproduction.write import default_folder

    return default_folder(config)


def _require_at_least(option: str, value: float, least: float) -> None:
    # Not `value < least`, which a NaN would pass.
    if not value >= least:
        raise UsageError(f"{option} is too small", where=option, found=f"{value:g}", expected=f"{least:g} or more")


def _chosen_stages(texts: Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages that are named, in the order of the step; all of them where none is.

    Raises:
        UsageError: there is no such stage.
    """
    from trainloop.compare.key import STAGES
    from trainloop.config.suggest import nearest

    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in STAGES:
            close = nearest(name, STAGES)
            raise UsageError(
                "a step has no such stage",
                where="--stages",
                found=name,
                expected=", ".join(STAGES),
                help=f"did you mean `{close}`?" if close else "",
            )
    return tuple(stage for stage in STAGES if not names or stage in names)


def _refuse_beside_self_test(context: typer.Context) -> None:
    """Refuse options that a self-test would pass over.

    Raises:
        UsageError: naming the first of them.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in SELF_TEST_OPTIONS and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"{parameter.opts[0]} means nothing to a self-test",
                where=parameter.opts[0],
                expected="no more than --json, --quiet and --debug beside --self-test",
                help="a self-test brings its own models and data",
            )


def _run_self_test(outputs: Outputs, *, short: bool) -> int:
    """Run the self-test, print and write what it found; return the exit code."""
    import dataclasses

    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.compare.zoo.self_test import print_self_test, self_test
    from trainloop.report.strict_json import strict_json

    report = self_test(short=short, announce=outputs.announce)
    text = strict_json({"passed": report.passed, **dataclasses.asdict(report)})
    if outputs.printed:
        typer.echo(text)
    else:
        print_self_test(report, make_plain_or_rich_console())
    if "--json" in outputs.named_files():
        write(outputs.named_files()["--json"], f"{text}\n".encode(), outputs)
    return 0 if report.passed else 1
