"""Options that several commands share, each described once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


@dataclass
class CliState:
    """What the command line knows besides a command's own options."""

    debug: bool = False


def _set_debug(context: typer.Context, wanted: bool) -> None:
    if wanted and isinstance(context.obj, CliState):
        context.obj.debug = True


class ProgressStyle(StrEnum):
    """How progress is shown."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    json = "json"
    none = "none"


Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML file of the run; without one every key has its default."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key, such as optimizer.lr=0.2; repeatable."),
]
Mode = Annotated[
    str | None, typer.Option("--mode", metavar="builtin|manual", help="PyTorch's own stages, or the written-out ones.")
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to train; auto takes the fastest.")
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Python file that model.name may name a class of; repeatable.",
    ),
]
RunFolderArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a finished run, a name in runs/ or its beginning, or latest.")
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_set_debug, is_eager=True, expose_value=True, help="Show tracebacks instead of messages."
    ),
]
