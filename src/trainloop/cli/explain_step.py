"""``trainloop explain-step``: one training step taken apart, with the numbers of one weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options

if TYPE_CHECKING:
    from trainloop.config import RunConfig
    from trainloop.explain.results import Explanation

STAGES = ("zero_grad", "forward", "loss", "backward", "sync", "step")


def explain_step(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="YAML file of a run; without one a built-in tiny example."),
    ] = None,
    device: options.Device = None,
    overrides: options.Set = None,
    plugins: options.Plugin = None,
    param: Annotated[
        str | None,
        typer.Option("--param", metavar="NAME", help="The parameter, by name or by a pattern that matches one."),
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="0,1,2", help="The element of it; the first without this option.")
    ] = None,
    step: Annotated[int, typer.Option("--step", help="Explain this step, after running those before it.")] = 1,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE|-", help="Write one JSON object too; - prints nothing else.")
    ] = None,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Run one step by hand and show what each stage did to one weight, and what autograd and torch.optim make of it."""
    manual = _load(config, device, overrides or [], "manual")
    builtin = _load(config, device, overrides or [], "builtin")

    from trainloop.explain.run import built_in_run, configured_run
    from trainloop.explain.step import explain_step as explain

    quiet = json_file == "-"
    if config is None:
        run = built_in_run(manual, builtin)
    else:
        run = configured_run(manual, builtin, _silent if quiet else typer.echo, plugins or [])
    explanation = explain(run, param=param, index=index, step=step)
    if not quiet:
        _draw(explanation)
    if json_file is not None:
        _write_json(explanation, json_file)


def _load(config: Path | None, device: str | None, overrides: list[str], mode: str) -> RunConfig:
    """Read the config with every stage of one mode; the built-in example takes nothing but an optimizer.

    Raises:
        ConfigError: the config has faults, or asks for what the mode has not.
        UsageError: a key that means nothing to the built-in example.
    """
    from trainloop.config import Override, load_config

    if config is None:
        _refuse_foreign_keys([*(["device"] if device else []), *overrides])
    named = [Override(f"device={device}", f"--device {device}")] if device else []
    # Last, so that they win: whatever mode a config trains in, both are run here.
    texts = (f"mode={mode}", *(f"stages.{stage}=null" for stage in STAGES))
    modes = [Override(text, f"explain-step, which sets {text}") for text in texts]
    return load_config(config, [*named, *overrides, *modes]).config


def _refuse_foreign_keys(overrides: list[str]) -> None:
    from trainloop.errors import UsageError

    for key in (text.partition("=")[0].strip() for text in overrides):
        if key.partition(".")[0] != "optimizer":
            raise UsageError(
                f"{key} means nothing to the built-in example",
                found=key,
                expected="keys of the optimizer, such as --set optimizer.name=adamw",
                help="with --config FILE every key means what it does in `trainloop train`",
            )


def _draw(explanation: Explanation) -> None:
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.explain.screen import print_explanation

    print_explanation(explanation, make_plain_or_rich_console())


def _write_json(explanation: Explanation, where: str) -> None:
    from trainloop import files
    from trainloop.explain.as_json import as_json

    if where == "-":
        typer.echo(as_json(explanation))
        return
    files.write_text(Path(where), as_json(explanation) + "\n")
    typer.echo(f"\nwritten: {where}")


def _silent(_: str) -> None:
    """Say nothing."""
