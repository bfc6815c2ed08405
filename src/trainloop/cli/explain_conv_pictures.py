"""The ways to look at an explanation beside its page: every step in the terminal, stills and animations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trainloop.cli.outputs import STANDARD_OUTPUT
from trainloop.config.suggest import nearest
from trainloop.errors import UsageError
from trainloop.explain_conv.pictures.planes import GATHER, TRANSPOSED_VIEWS

if TYPE_CHECKING:
    from rich.console import Console

    from trainloop.explain_conv.explanation import Explanation
    from trainloop.explain_conv.problem import Problem

PICTURES = {"--svg": ("svg",), "--png": ("png",), "--gif": ("gif",)}
"""endings that the file of an option may have"""
VIEWS = (GATHER, *TRANSPOSED_VIEWS)
MILLISECONDS, LAST = 600, 2500
"""that a frame of an animation stands, and the last one"""


@dataclass(frozen=True)
class Looks:
    """The options, as they were typed.

    Args:
        view: that steps go through.
        frames: print every step.
        step: go through them with keys.
        svg: file.
        png: file.
        gif: file.
    """

    view: str | None
    frames: bool
    step: bool
    svg: str | None
    png: str | None
    gif: str | None

    @property
    def files(self) -> dict[str, str | None]:
        """What each option of a picture names."""
        return {"--svg": self.svg, "--png": self.png, "--gif": self.gif}

    def check(self, question: str, json_file: str | None) -> None:
        """Refuse options that do not go together.

        Args:
            question: what is asked instead of an explanation, such as --solve; nothing for none.
            json_file: as it was typed.

        Raises:
            UsageError: two ways to use the screen, a way to look at what is not explained, or a view that nothing has.
        """
        given = {"--view": self.view, "--frames": self.frames, "--step": self.step, **self.files}
        for name, value in given.items():
            if value and question:
                raise UsageError(
                    f"{name} means nothing beside {question}",
                    found=name if value is True else f"{name} {value}",
                    expected=f"{name} on its own",
                )
        screen = [name for name in ("--frames", "--step") if given[name]]
        screen += ["--json -"] if json_file == STANDARD_OUTPUT else []
        if len(screen) > 1:
            raise UsageError("the screen can show one thing", found=" and ".join(screen), expected="one of them")
        for name, file in self.files.items():
            if file == STANDARD_OUTPUT:
                raise UsageError(
                    "a picture goes to a file",
                    where=name,
                    found=file,
                    expected=f"such as {name} conv{name.replace('--', '.')}",
                )
        self._check_name_of_view()
        if self.view and not (self.frames or self.step or self.gif):
            raise UsageError(
                "--view chooses what steps go through",
                found=f"--view {self.view}",
                expected="--frames, --step or --gif",
            )

    def _check_name_of_view(self) -> None:
        if self.view and self.view not in VIEWS:
            close = nearest(self.view, VIEWS)
            raise UsageError(
                "there are no steps of this name",
                where="--view",
                found=self.view,
                expected=f"{' or '.join(TRANSPOSED_VIEWS)} of a transposed convolution, {GATHER} of a convolution",
                help=f"did you mean {close}?" if close else "",
            )

    def check_view(self, problem: Problem) -> None:
        """Refuse a view that this problem does not have.

        Args:
            problem: that is explained.

        Raises:
            UsageError: there are no such steps.
        """
        names = TRANSPOSED_VIEWS if problem.transposed else (GATHER,)
        if self.view and self.view not in names:
            what = "a transposed convolution" if problem.transposed else "a convolution"
            raise UsageError(
                f"the steps of {what} go through {' or '.join(names)}",
                where="--view",
                found=self.view,
                expected=" or ".join(names),
            )

    def check_screen(self, console: Console) -> None:
        """Refuse --step where there is no terminal.

        Args:
            console: of standard output.

        Raises:
            UsageError: standard input or output is none.
        """
        if self.step:
            from trainloop.explain_conv.screen.stepper import require_terminal

            require_terminal(console)

    def show(self, explanation: Explanation, console: Console) -> bool:
        """Print or step through the steps, if that was asked for; else return False.

        Args:
            explanation: the whole.
            console: where to.
        """
        if not (self.frames or self.step):
            return False
        from trainloop.explain_conv.pictures.walks import Walk
        from trainloop.explain_conv.screen.frames import all_frames
        from trainloop.explain_conv.screen.show import show
        from trainloop.explain_conv.screen.stepper import step_through
        from trainloop.explain_conv.words.names import checked_text, head

        walk = Walk(explanation, self.view or "")
        if self.step:
            step_through(walk, console)
        else:
            from rich.text import Text

            show([Text(head(explanation), style="bold"), Text(checked_text(explanation))], console)
            show(all_frames(walk, console.width), console)
        return True

    def write(self, explanation: Explanation, *, quiet: bool) -> None:
        """Write the pictures that were asked for.

        Args:
            explanation: the whole.
            quiet: do not say so.
        """
        from trainloop import files

        makers: dict[str, Callable[[Explanation], bytes]] = {"--svg": _svg, "--png": _png, "--gif": self._gif}
        for name, file in self.files.items():
            if file is not None:
                files.write_bytes(Path(file), makers[name](explanation))
                if not quiet:
                    typer.echo(f"written: {file}")

    def _gif(self, explanation: Explanation) -> bytes:
        from trainloop.explain_conv.pictures.pictures import animation
        from trainloop.explain_conv.pictures.raster import gif
        from trainloop.explain_conv.pictures.walks import Walk

        return gif(animation(Walk(explanation, self.view or "")), MILLISECONDS, LAST, explanation.text)


def _svg(explanation: Explanation) -> bytes:
    from trainloop.explain_conv.pictures.pictures import still
    from trainloop.explain_conv.pictures.svg import svg

    return svg(still(explanation)).encode()


def _png(explanation: Explanation) -> bytes:
    from trainloop.explain_conv.pictures.pictures import still
    from trainloop.explain_conv.pictures.raster import png

    return png(still(explanation))
