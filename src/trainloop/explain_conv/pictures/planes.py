"""What a picture or a terminal frame shows: planes of numbers, each place with a look, in columns beside each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

GATHER, SCATTER, ZERO_INSERT = "gather", "scatter", "zero_insert"
"""views that one can walk through"""
TRANSPOSED_VIEWS = (SCATTER, ZERO_INSERT)
"""that a transposed convolution has"""
INPUT, PADDING, INSERTED, UNREAD, CUT = "input", "padding", "inserted", "unread", "cut"
TAP, DONE, WAITING, OTHER = "tap", "done", "waiting", "other"
READ, LOST, CHOSEN = "read", "lost", "chosen"
"""looks, by what a place is; ``LEGEND`` says it in words"""
LEGEND = {
    CHOSEN: "explained here",
    READ: "belongs to it",
    LOST: "belongs to it, but is a zero or cut off",
    INPUT: "input",
    UNREAD: "input without any effect",
    PADDING: "padding",
    INSERTED: "inserted zero",
    CUT: "cut off by padding",
    TAP: "weight",
    DONE: "output",
    WAITING: "nothing there",
    OTHER: "another group",
}
"""in the order of the picture's legend"""

Place = tuple[int, int]
"""(row, column)"""


def nothing(_: Place) -> str:
    """Return the letter of a place that has none."""
    return ""


@dataclass(frozen=True)
class Plane:
    """A plane of numbers.

    Args:
        name: what it is, one word: input, weight or output.
        title: above it.
        sizes: (rows, columns).
        number: text at a place; nothing where there is none yet.
        look: of a place.
        focus: that must be seen where not everything fits.
        first: what the first row and column are called, below 0 for padding.
        letter: of a place; places of two planes with one letter belong together.
        rank: how much it is needed where not every plane fits: 0 for the one that must be seen, then in this order.
        room: (rows, columns) of the plane that a single number stands for, which has no row or column; else nothing.
    """

    name: str
    title: str
    sizes: Place
    number: Callable[[Place], str]
    look: Callable[[Place], str]
    focus: Place
    first: Place = (0, 0)
    letter: Callable[[Place], str] = nothing
    rank: int = 0
    room: Place = (0, 0)


@dataclass(frozen=True)
class Frame:
    """One step of the way through a convolution.

    Args:
        title: which step.
        columns: planes below each other, beside the next column.
        symbols: between the columns, one less than there are columns.
        formula: what is computed, with numbers.
    """

    title: str
    columns: tuple[tuple[Plane, ...], ...]
    symbols: tuple[str, ...]
    formula: str
