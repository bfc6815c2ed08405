"""The steps of a walk as lines of text, the same planes that the pictures draw."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence

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
from trainloop.explain_conv.pictures.windows import FIRST_PAIR
from trainloop.explain_conv.screen import layout
from trainloop.explain_conv.screen.layout import MOST_ROWS, Block, Grid, paragraph, side_by_side
from trainloop.explain_conv.words.lines import wrapped

MOST_FRAMES = 100
"""that are printed"""
FEWEST_ROWS = 3
"""of a plane, before one less is shown"""
BESIDES = 1
"""lines of the screen that a step does not have: the keys"""
WIDTHS = range(24, 81, 4)
"""of which one is recommended where a step does not fit"""
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
    """Return the lines of a step that fit on the screen.

    They have fewer rows of each plane, or else fewer planes and a line that says so; where not even the explained place fits,
    they say the size that is needed.

    Args:
        frame: the step.
        width: columns that there are.
        height: lines that there are.
        digits: as of ``frame_lines``.
    """
    fitting = _Fitting(frame, width, digits)
    for shown in range(fitting.most, 0, -1):
        least = FEWEST_ROWS if shown > 1 else 1
        if fitting.fits(fitting.lines(shown, least), height):
            drawn = (fitting.lines(shown, rows) for rows in range(MOST_ROWS, least, -1))
            return next((lines for lines in drawn if fitting.fits(lines, height)), fitting.lines(shown, least))
    return [Text(line) for line in wrapped(_needed(frame, width, height, digits), width)[:height]]


def _needed(frame: Frame, width: int, height: int, digits: int) -> str:
    """Return what size a terminal needs for the smallest picture of a step."""
    for wide in (width, *(one for one in WIDTHS if one > width)):
        fitting = _Fitting(frame, wide, digits)
        lines = fitting.lines(1, 1)
        if fitting.fits(lines, len(lines)):
            return f"needs {wide}×{max(len(lines), height) + BESIDES}, this is {width}×{height + BESIDES}"
    return f"needs a terminal wider than {WIDTHS[-1]}"


class _Fitting:
    """The lines of a step with fewer or more of its planes, and of their rows.

    Args:
        frame: the step.
        width: columns that there are.
        digits: as of ``frame_lines``.
    """

    def __init__(self, frame: Frame, width: int, digits: int) -> None:
        self._frame, self._width, self._digits = frame, width, digits
        self.planes = [plane for column in frame.columns for plane in column]
        self._levels = _levels(self.planes)
        self._block = functools.cache(self._make_block)

    @property
    def most(self) -> int:
        """In how many parts the planes come, those that are needed most first."""
        return len(self._levels)

    def fits(self, lines: Sequence[Text], height: int) -> bool:
        """Whether lines are no more than there are, and none is too wide."""
        return len(lines) <= height and max(line.cell_len for line in lines) <= self._width

    def lines(self, shown: int, rows: int) -> list[Text]:
        """Return the lines with the planes that are needed most.

        Args:
            shown: parts of the planes, from 1 for nothing but the explained place to ``most``.
            rows: of each plane at most.
        """
        kept = sorted(index for level in self._levels[:shown] for index in level)
        dropped = [index for level in self._levels[shown:] for index in level]
        return [
            *paragraph(self._frame.title, self._width, indent=0, style="bold"),
            *side_by_side([self._block(index, rows) for index in kept], self._width),
            *self._left_out(dropped),
            *paragraph(self._frame.formula, self._width, indent=4, first="  "),
        ]

    def _left_out(self, dropped: Sequence[int]) -> list[Text]:
        if not dropped:
            return []
        names = Counter(self.planes[index].name for index in sorted(dropped))
        parts = [name if number == 1 else f"{number} {name}s" for name, number in names.items()]
        return paragraph(
            f"left out for want of room: {', '.join(parts)}", self._width, indent=4, first="  ", style="dim"
        )

    def _make_block(self, index: int, rows: int) -> Block:
        return _plane_block(self.planes[index], self._width, self._digits, rows)


def frame_lines(frame: Frame, width: int, digits: int) -> list[Text]:
    """Return the lines of a step with all of its planes.

    Args:
        frame: the step.
        width: columns that there are.
        digits: of the longest number of any step, so that nothing moves from one to the next.
    """
    fitting = _Fitting(frame, width, digits)
    return fitting.lines(fitting.most, MOST_ROWS)


def most_digits(walk: Walk) -> int:
    """Return how long the longest number is that a step can show."""
    arrays = [walk.explanation.output, *(array for name, array in walk.view.arrays.items() if name == "uncropped")]
    return max(len(str(int(array.max()))) for array in arrays)


def _levels(planes: Sequence[Plane]) -> list[list[int]]:
    """Return which planes to leave out together, those that are needed most first: an input channel goes with its weights."""
    nth: Counter[tuple[str, int]] = Counter()
    levels: dict[tuple[int, int, str], list[int]] = {}
    for index, plane in enumerate(planes):
        number = nth[plane.name, plane.rank]
        nth[plane.name, plane.rank] += 1
        # What the explained place is computed from goes one by one, since nothing else is left then.
        alone = plane.name if plane.rank <= FIRST_PAIR else ""
        levels.setdefault((plane.rank, number, alone), []).append(index)
    return [levels[key] for key in sorted(levels)]


def _plane_block(plane: Plane, width: int, digits: int, most_rows: int) -> Block:
    """Return a plane as text.

    Args:
        plane: to draw.
        width: of the screen.
        digits: for which an output has room.
        most_rows: of the plane.
    """

    def number(row: int, column: int) -> str:
        text, look = plane.number((row, column)), plane.look((row, column))
        nothing = not text or (text == "0" and look in (PADDING, INSERTED, LOST))
        return layout.NOTHING if nothing else text

    def mark(row: int, column: int) -> str:
        return MARKS.get(plane.look((row, column)), "")

    room = digits if plane.name == "output" else 0
    grid = Grid(plane.title, plane.sizes, number, mark, plane.focus, plane.first, room)
    return grid.block(width - 2, most_rows, numbered=plane.room == (0, 0))
