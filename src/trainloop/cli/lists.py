"""``trainloop models | optimizers | schedules``: what a config can name."""

from __future__ import annotations

from typing import Annotated, get_args

import typer
from pydantic import BaseModel


def models(
    torchvision: Annotated[
        bool, typer.Option("--torchvision", help="List torchvision's models too (loads torch, a few seconds).")
    ] = False,
) -> None:
    """List the models that model.name can name."""
    from trainloop.models.names import OWN_MODELS

    print_table(("model", "what it is"), [(name, model.description) for name, model in OWN_MODELS.items()])
    typer.echo("\nand path/to/file.py:Class, with --plugin path/to/file.py")
    if torchvision:
        from trainloop.models.vision import vision_names

        typer.echo("\nfrom torchvision: " + ", ".join(vision_names()))
    else:
        typer.echo("and every classification model of torchvision: trainloop models --torchvision")


def optimizers() -> None:
    """List the optimizers, with their keys and defaults."""
    from trainloop.config.optimizers import OptimizerConfig

    _print_sections("optimizer", OptimizerConfig, skipped=("name", "groups"))


def schedules() -> None:
    """List the lr schedules, with their keys and defaults."""
    from trainloop.config.schema import ScheduleConfig

    _print_sections("schedule", ScheduleConfig, skipped=("name",))


def _print_sections(heading: str, union: object, *, skipped: tuple[str, ...]) -> None:
    sections: tuple[type[BaseModel], ...] = get_args(get_args(union)[0])
    rows: list[tuple[str, ...]] = []
    for section in sections:
        name = get_args(section.model_fields["name"].annotation)[0]
        keys = ", ".join(
            f"{key} (required)" if field.is_required() else f"{key} {_yaml(field.default)}"
            for key, field in section.model_fields.items()
            if key not in skipped
        )
        rows.append((name, (section.__doc__ or "").partition("\n")[0], keys))
    print_table((heading, "what it is", "keys and defaults"), rows)


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows under their headings."""
    from trainloop.report.format import table_lines

    for line in table_lines(columns, rows):
        typer.echo(line)
