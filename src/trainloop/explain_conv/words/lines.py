"""How a text becomes lines, and which part of a plane is drawn where not all of it fits."""

from __future__ import annotations

import re
import textwrap

SHORT = 40
"""letters of a text in round brackets that stays on one line whatever it says"""
HELD, JOINED = "\N{NO-BREAK SPACE}", "\x1f"
"""instead of a space at which no line ends: in round brackets, and beside an operator"""


def window(size: int, most: int, focus: int) -> range:
    """Return the places that are drawn: at most so many, around the focus."""
    if size <= most:
        return range(size)
    start = min(max(focus - most // 2, 0), size - most)
    return range(start, start + most)


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Return a text in lines; a formula is broken before +, = and →, not within what belongs together.

    Args:
        text: any.
        width: letters of a line.
        first: what stands in front of the first line.
        rest: what stands in front of the others.
    """
    held = _held(text, width - max(len(first), len(rest)))
    lines = textwrap.wrap(held, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(HELD, " ").replace(JOINED, " ") for line in lines]


def _held(text: str, most: int) -> str:
    """Return a text whose spaces at which no line may end are others: of short or arithmetic brackets, and of operators."""
    letters, opened = list(text), []
    for end, letter in enumerate(text):
        if letter == "(":
            opened.append(end)
        elif letter == ")" and opened:
            start = opened.pop()
            inside = text[start : end + 1]
            if len(inside) <= (most if re.search(r" [−+/] |·", inside) else min(most, SHORT)):
                letters[start : end + 1] = inside.replace(" ", HELD)
    # A number and what it is stay together: 4 (bias).
    named = re.sub(r"(?<=\d) (?=\([a-z\d])", JOINED, "".join(letters))
    joined = re.sub(r" ([·−∗/]) ", rf"{JOINED}\1{JOINED}", named)
    joined = re.sub(r"(^| )([+=→]) ", rf"\1\2{JOINED}", joined)
    # What is wider than a line must end somewhere, before an operator if that will do.
    for held in (rf"{JOINED}(?=[·−∗/]{JOINED})", JOINED, HELD):
        joined = " ".join(part if len(part) <= most else re.sub(held, " ", part) for part in joined.split(" "))
    return joined
