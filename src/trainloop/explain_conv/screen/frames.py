"""The steps of a walk as lines of text, the same planes that the pictures draw."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from trainloop.explain_conv.pictures.planes import (
    CHOSEN,
    CUT,
    INSERTED,
    LOST,
    OTHER,
    PADDING,
    READ,
    Frame,
    Plane,
)
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.screen import layout
from trainloop.explain_conv.screen.layout import MOST_ROWS, Block, Grid, paragraph, side_by_side

MOST_FRAMES = 100
"""that are printed"""
FEWEST_ROWS = 3
"""of a plane, however low the screen is"""
MARKS = {CHOSEN: layout.CHOSEN, READ: layout.READ, LOST: layout.READ, CUT: layout.CUT, OTHER: layout.CUT}
"""how the looks of a picture show as text"""


def all_frames(walk: Walk, width: int) -> Iterator[Text]:
    """Yield the lines of every step, or of the first ``MOST_FRAMES`` and how many more there are.

    Args:
        walk: whose steps.
        width: columns that there are.
    """
    digits = most_digits(walk)
    for step in range(min(len(walk), MOST_FRAMES)):
        yield Text()
        yield from frame_lines(walk.frame(step), width, digits)
    if len(walk) > MOST_FRAMES:
        yield Text()
        more = f"… {len(walk) - MOST_FRAMES:,} more of {len(walk):,} steps; --step goes through all of them"
        yield from paragraph(more, width, indent=0)


def fitting_lines(frame: Frame, width: int, height: int, digits: int) -> list[Text]:
    """Return the lines of a step with as many rows of each plane as leave all of it on the screen.

    Args:
        frame: the step.
        width: columns that there are.
        height: lines that there are.
        digits: as of ``frame_lines``.
    """
    for rows in range(MOST_ROWS, FEWEST_ROWS, -1):
        lines = frame_lines(frame, width, digits, rows)
        if len(lines) <= height:
            return lines
    return frame_lines(frame, width, digits, FEWEST_ROWS)


def frame_lines(frame: Frame, width: int, digits: int, most_rows: int = MOST_ROWS) -> list[Text]:
    """Return the lines of a step.

    Args:
        frame: the step.
        width: columns that there are.
        digits: of the longest number of any step, so that nothing moves from one to the next.
        most_rows: of a plane.
    """
    blocks = [
        _block(plane, width - 2, digits if plane.name == "output" else 0, most_rows)
        for column in frame.columns
        for plane in column
    ]
    return [
        *paragraph(frame.title, width, indent=0, style="bold"),
        *side_by_side(blocks, width),
        *paragraph(frame.formula, width, indent=4, first="  "),
    ]


def most_digits(walk: Walk) -> int:
    """Return how long the longest number is that a step can show."""
    arrays = [walk.explanation.output, *(array for name, array in walk.view.arrays.items() if name == "uncropped")]
    return max(len(str(int(array.max()))) for array in arrays)


def _block(plane: Plane, width: int, digits: int, most_rows: int) -> Block:
    def number(row: int, column: int) -> str:
        text, look = plane.number((row, column)), plane.look((row, column))
        nothing = not text or (text == "0" and look in (PADDING, INSERTED, LOST))
        return layout.NOTHING if nothing else text

    def mark(row: int, column: int) -> str:
        return MARKS.get(plane.look((row, column)), "")

    return Grid(plane.title, plane.sizes, number, mark, plane.focus, plane.first, digits).block(width, most_rows)
