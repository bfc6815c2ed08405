"""``trainloop config show | schema | init``: what applies, what is allowed, and a file to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.errors import UsageError

if TYPE_CHECKING:
    from trainloop.config import LoadedConfig

app = typer.Typer(help="Show, describe or start a config.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file; without it, the defaults.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Beats the file; repeatable.")]


@app.command()
def show(
    config: ConfigOption = None,
    overrides: SetOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say beside each value where it comes from.")] = False,
) -> None:
    """Print every value that applies: the defaults, then the file, then --set."""
    from trainloop.config import dump_yaml, load_config

    loaded = load_config(config, overrides or ())
    typer.echo("".join(_with_origins(loaded)) if origin else dump_yaml(loaded.config), nl=False)


def _with_origins(loaded: LoadedConfig) -> Iterator[str]:
    from trainloop.config.dump import yaml_lines
    from trainloop.config.nodes import dotted

    lines = list(yaml_lines(loaded.config))
    width = max(len(line) for line, _ in lines)
    for line, path in lines:
        place = loaded.origins.get(dotted(path))
        comment = f"{line:{width}}  # {_one_line(place.where) or place.kind}" if place is not None else line
        yield f"{comment}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors and other programs."""
    import json

    from trainloop.config.outline import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write; - prints it.")] = Path("config.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented config: every key with its meaning, what it accepts, and its default."""
    from trainloop.config.template import commented_yaml
    from trainloop.files import write_text

    if str(path) == "-":
        typer.echo(commented_yaml(), nl=False)
        return
    if path.is_dir():
        raise UsageError("this is a folder, not a file", where=str(path), help=f"name a file: {path / 'config.yaml'}")
    if path.exists() and not force:
        raise UsageError(
            "the file is there already", where=str(path), help="choose another name, or replace it with --force"
        )
    write_text(path, commented_yaml())
    typer.echo(f"wrote {path}")
