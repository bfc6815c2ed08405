"""How faults and tables look on the screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainloop.errors import Fault

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def print_faults(faults: Sequence[Fault]) -> None:
    """Print faults to standard error, one block each; coloured in a terminal, plain elsewhere."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for fault in faults:
        console.print(fault_text(fault))
    if len(faults) > 1:
        console.print(f"{len(faults)} faults")


def fault_text(fault: Fault) -> Text:
    """Return a fault as styled text; user strings are never read as markup, and control characters show escaped."""
    from rich.text import Text

    text = Text.assemble(("error", "bold red"), ": ", visible(fault.what))
    facts = (("where", fault.where), ("found", fault.found), ("expected", fault.expected), ("help", fault.help))
    for name, value in facts:
        if value:
            lines = visible(value).split("\n")
            text.append(f"\n  {name:<10}", style="cyan")
            text.append(("\n" + 12 * " ").join(lines))
    return text


def visible(text: str) -> str:
    """Return the text with control characters (line ends apart) escaped, so that no file can steer the terminal."""
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def make_plain_or_rich_console() -> Console:
    """Return a console for standard output: styled in a terminal, plain text elsewhere."""
    from trainloop.report.console import make_console

    return make_console(live=sys.stdout.isatty())
