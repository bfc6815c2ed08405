"""``trainloop train``: train from a config, in a run folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options

if TYPE_CHECKING:
    from trainloop.config import LoadedConfig
    from trainloop.loop.events import Sink


def folder_name(text: str) -> Path:
    """Return the folder that an option names; nothing at all, as of a variable that is not set, names none."""
    if not text:
        raise typer.BadParameter("the name of a folder is empty")
    return Path(text)


def train(
    config: options.Config = None,
    mode: options.Mode = None,
    device: options.Device = None,
    overrides: options.Set = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir", metavar="DIR", parser=folder_name, help="Folder of the run; runs/<name>-<time> without it."
        ),
    ] = None,
    plugins: options.Plugin = None,
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            metavar="auto|none|PATH",
            help="auto goes on with an unfinished run of this config, none begins anew; or a run folder, or a checkpoint.",
        ),
    ] = "auto",
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Go on from a checkpoint of a run whose config or data differ.")
    ] = False,
    allow_failing_device: Annotated[
        bool,
        typer.Option(
            "--allow-failing-device", help="Train on a device that `trainloop doctor` finds to compute wrongly."
        ),
    ] = False,
    progress: Annotated[
        options.ProgressStyle,
        typer.Option("--progress", help="auto: rich in a terminal, plain elsewhere; none: header and result alone."),
    ] = options.ProgressStyle.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show shapes, parameters, FLOPs, memory and time, then stop.")
    ] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Train a model and use the test set once, at the end."""
    loaded = load(config, mode, device, overrides)
    if dry_run:
        _show_estimate(loaded, plugins or [], quiet=quiet)
        return
    style = resolve(progress)
    sinks = [] if quiet else [make_sink(style)]

    from trainloop.training import train as run

    run(
        loaded.config,
        run_dir=run_dir,
        name=config.stem if config else "default",
        plugins=plugins or [],
        sinks=sinks,
        announce=_silent if quiet or style is options.ProgressStyle.json else typer.echo,
        resume=resume,
        allow_changed=allow_changed,
        allow_failing_device=allow_failing_device,
        command=command_to_go_on,
    )


PLACES = ("--resume", "--run-dir")
"""options that say where a run is; to go on with it, they become its folder"""


def command_to_go_on(folder: Path) -> str:
    """Return the command line of this process so that it goes on with the run in ``folder``."""
    words: list[str] = []
    given = iter(sys.argv[1:])
    for word in given:
        if word in PLACES:
            next(given, None)
        elif not word.startswith(tuple(f"{option}=" for option in PLACES)):
            words.append(word)
    return shlex.join(["trainloop", *words, "--run-dir", str(folder)])


def load(
    config: Path | None, mode: str | None = None, device: str | None = None, overrides: list[str] | None = None
) -> LoadedConfig:
    """Read the config with everything the command line says about it; ``--set`` beats ``--mode`` and ``--device``."""
    from trainloop.config import Override, load_config

    named = [
        Override(f"{key}={value}", f"--{key} {value}") for key, value in (("mode", mode), ("device", device)) if value
    ]
    return load_config(config, [*named, *(overrides or [])])


def resolve(progress: options.ProgressStyle) -> options.ProgressStyle:
    """Return what ``auto`` means for this standard output."""
    if progress is not options.ProgressStyle.auto:
        return progress
    from rich.console import Console

    console = Console()
    live = console.is_terminal and not console.is_dumb_terminal
    return options.ProgressStyle.rich if live else options.ProgressStyle.plain


def make_sink(style: options.ProgressStyle) -> Sink:
    """Return the sink that prints in the given style."""
    if style is options.ProgressStyle.json:
        from trainloop.report.json_lines import JsonLines

        return JsonLines(_write_and_flush, whole_run=True)
    from trainloop.report.console import ConsoleSink, make_console

    live = style is options.ProgressStyle.rich
    return ConsoleSink(make_console(live=live), live=live, rows=style is not options.ProgressStyle.none)


def _show_estimate(loaded: LoadedConfig, plugins: list[Path], *, quiet: bool) -> None:
    from trainloop.estimate import estimate
    from trainloop.report.estimate_table import print_estimate

    result = estimate(loaded.config, plugins, _silent if quiet else typer.echo)
    if not quiet:
        from trainloop.cli.render import make_plain_or_rich_console

        print_estimate(result, make_plain_or_rich_console())


def _write_and_flush(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _silent(_: str) -> None:
    """Say nothing."""
