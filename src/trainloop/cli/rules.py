"""``trainloop rules``: the rules of the tape, or those that one model needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli.options import Debug, Plugin

if TYPE_CHECKING:
    from trainloop.manual.survey import Needs


def rules(
    model: Annotated[
        str | None, typer.Option("--model", help="List what this model needs, and whether it is all there.")
    ] = None,
    image_size: Annotated[int, typer.Option("--image-size", min=1, help="With --model: side of the images.")] = 32,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """List the rules of the manual path, or those that a model needs (exit code 2 when one is missing)."""
    del debug
    if model is None:
        _print_all()
        return
    needs = _needs_of(model, image_size, tuple(plugin or ()))
    _print_needs(model, needs)
    if not needs.complete:
        raise typer.Exit(2)


def _print_all() -> None:
    from trainloop.cli.lists import print_table
    from trainloop.manual.rule import Composite
    from trainloop.manual.rules import RULES
    from trainloop.manual.where import function_name

    names: dict[str, list[str]] = {}
    for function, rule in RULES.items():
        names.setdefault(rule.name, []).append(function_name(function))
    rows: list[tuple[str, ...]] = []
    for rule in dict.fromkeys(RULES.values()):
        forms = "several rules" if isinstance(rule, Composite) else ", ".join(rule.forms)
        rows.append((rule.name, forms, ", ".join(name.removeprefix("torch.") for name in names[rule.name])))
    print_table(("rule", "forms", "stands for (torch.…)"), rows)
    typer.echo(f"\n{len(rows)} rules for {len(RULES)} functions; trainloop rules --model NAME lists what a model needs")


def _needs_of(name: str, image_size: int, plugins: tuple[Path, ...]) -> Needs:
    import torch
    import torch.nn.functional as F

    from trainloop.config.schema import ModelConfig
    from trainloop.manual.errors import TapeError
    from trainloop.manual.survey import Survey
    from trainloop.models import build_model
    from trainloop.stages.recording import refusal

    shape = (3, image_size, image_size)
    config = ModelConfig(name=name)
    half = (0.5, 0.5, 0.5)
    model = build_model(
        config, num_classes=10, image_shape=shape, train_images=None, mean=half, std=half, plugins=plugins
    )
    try:
        with Survey() as survey:
            output = model.train()(torch.zeros(2, *shape))
            logits = output if isinstance(output, torch.Tensor) else output[0]
            loss = F.cross_entropy(logits, torch.tensor([0, 1]))
        if survey.needs.complete:
            survey.backward(loss)
    except TapeError as error:
        raise refusal(error) from error
    return survey.needs


def _print_needs(model: str, needs: Needs) -> None:
    from trainloop.cli.lists import print_table

    print_table(("rule", "calls"), [(name, str(count)) for name, count in needs.rules.most_common()])
    if needs.complete:
        typer.echo(f"\n{model} needs {len(needs.rules)} rules, all there")
        return
    typer.echo("")
    print_table(("no rule for", "first called in"), list(needs.missing.items()))
    typer.echo(f"\n{model} cannot be trained by the manual path yet; docs/write-a-rule.md shows how to add a rule")
