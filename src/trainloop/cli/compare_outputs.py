"""Where ``trainloop compare-modes`` leaves what it found: on the screen and in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trainloop.cli.outputs import check_outputs, named_files, printed
from trainloop.errors import Fault, ResourceError, TrainloopError

if TYPE_CHECKING:
    from trainloop.compare.verdict import Verdict


@dataclass(frozen=True)
class Outputs:
    """What the command line asks for.

    Args:
        json: file for JSON, or ``-``; None for none.
        markdown: likewise for Markdown.
        junit: file for JUnit XML.
        curves: file for the picture of the losses.
        quiet: the verdict line alone on the screen.

    Raises:
        UsageError: a file is a folder or has the wrong ending, or two outputs go to standard output.
    """

    json: str | None = None
    markdown: str | None = None
    junit: str | None = None
    curves: str | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        """Refuse before the work what cannot be written after it."""
        check_outputs(self._files(), {"--curves": ("png",)})

    @property
    def printed(self) -> str:
        """Return ``json`` or ``markdown`` if that goes to standard output, and then nothing else does; else nothing."""
        return printed(self._files())

    @property
    def announce(self) -> Callable[[str], None]:
        """Return what is told in one line what takes time."""
        return _silent if self.quiet or self.printed else typer.echo

    def named_files(self) -> dict[str, str]:
        """Return the files that are asked for, by option."""
        return named_files(self._files())

    def _files(self) -> dict[str, str | None]:
        return {"--json": self.json, "--markdown": self.markdown, "--junit": self.junit, "--curves": self.curves}


def show(verdict: Verdict, outputs: Outputs) -> None:
    """Print the verdict, then write the files: what cannot be written must not cost the verdict.

    Args:
        verdict: of the comparison.
        outputs: what is asked for.

    Raises:
        ResourceError: files that could not be written, all of them.
    """
    _print(verdict, outputs)
    faults: list[Fault] = []
    for name, content in _contents(verdict, outputs):
        try:
            write(name, content, outputs)
        except TrainloopError as error:
            faults.extend(error.faults)
    if faults:
        raise ResourceError(faults)


def write(name: str, content: bytes, outputs: Outputs) -> None:
    """Write a file, and say so where nothing more than a result is wanted on standard output.

    Raises:
        ResourceError: the disk refuses it.
    """
    from trainloop import files

    files.write_bytes(Path(name), content)
    outputs.announce(f"written: {name}")


def _print(verdict: Verdict, outputs: Outputs) -> None:
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.compare.screen import headline, print_verdict

    if outputs.printed:
        typer.echo(_text(outputs.printed, verdict), nl=False)
    elif outputs.quiet:
        make_plain_or_rich_console().print(headline(verdict), soft_wrap=True)
    else:
        print_verdict(verdict, make_plain_or_rich_console())


def _contents(verdict: Verdict, outputs: Outputs) -> Iterator[tuple[str, bytes]]:
    """Yield the files with what goes into them."""
    for option, name in outputs.named_files().items():
        if option == "--curves":
            from trainloop.compare.curves import curves_png

            yield name, curves_png(verdict)
        else:
            yield name, _text(option.removeprefix("--"), verdict).encode()


def _text(kind: str, verdict: Verdict) -> str:
    """Return the verdict as ``json``, ``markdown`` or ``junit``."""
    from trainloop.compare.as_json import as_json
    from trainloop.compare.as_junit import as_junit
    from trainloop.compare.as_markdown import as_markdown

    return {"json": as_json, "markdown": as_markdown, "junit": as_junit}[kind](verdict)


def _silent(_: str) -> None:
    """Say nothing."""
