"""Print lines: styled in a terminal, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def show(lines: Iterable[Text], console: Console) -> None:
    """Print lines that were made for the console's width, without spaces at their ends.

    Args:
        lines: to print.
        console: where to.
    """
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)
