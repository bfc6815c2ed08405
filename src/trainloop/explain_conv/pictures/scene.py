"""A picture before it is drawn: rectangles with a look, and words; ``svg.py`` and ``raster.py`` draw the same scene.

The colours are Okabe and Ito's, which all kinds of colour vision tell apart. Nothing hangs on them alone: what is explained has
white digits on dark with the thickest outline, what belongs to it a thick outline, places that are no numbers of the input are
dashed or hatched; so the looks differ in grey too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from trainloop.explain_conv.pictures.planes import (
    CHOSEN,
    CUT,
    DONE,
    INPUT,
    INSERTED,
    LOST,
    OTHER,
    PADDING,
    READ,
    TAP,
    UNREAD,
    WAITING,
)

INK, PALE, PAPER = "#1A1A1A", "#5F6570", "#FFFFFF"
BLUE, ORANGE, SKY, YELLOW = "#0072B2", "#E69F00", "#56B4E9", "#F0E442"
ENTRY, FRAME = "entry", "frame"
"""looks of a matrix: a weight in it, and its border"""
SOLID, DASHED = "solid", "dashed"
COUNTS = ((PAPER, PALE), ("#D9EDFA", INK), ("#9CCDEB", INK), ("#5AA9D6", INK), (BLUE, PAPER))
"""fill and ink of the places that are written 0, 1, 2, 3 and more times"""


class Look(NamedTuple):
    """How a rectangle is drawn.

    Args:
        fill: colour inside.
        outline: colour of its border.
        width: of the border.
        line: solid or dashed.
        hatch: colour of diagonal lines over the fill; nothing for none.
        ink: colour of the text.
        bold: text is bold.
    """

    fill: str
    outline: str
    width: int = 1
    line: str = SOLID
    hatch: str = ""
    ink: str = INK
    bold: bool = False


LOOKS = {
    CHOSEN: Look(BLUE, INK, 3, ink=PAPER, bold=True),
    READ: Look(ORANGE, INK, 2, bold=True),
    LOST: Look("#FBE7BF", INK, 2, line=DASHED, hatch=ORANGE, ink=PALE),
    INPUT: Look("#D9EDFA", SKY),
    UNREAD: Look("#FFFFFF", SKY, hatch="#BBDFF6", ink=PALE),
    PADDING: Look(PAPER, "#9AA0A8", line=DASHED, ink="#80868E"),
    INSERTED: Look("#F4F4F4", "#D0D4D8", ink="#80868E"),
    CUT: Look("#F4F4F4", "#B4B8BE", line=DASHED, hatch="#D4D8DC", ink=PALE),
    TAP: Look("#FBF6C8", "#B0A61E"),
    DONE: Look("#D5EFE7", "#009E73"),
    WAITING: Look(PAPER, "#D0D4D8"),
    OTHER: Look("#ECECEC", "#C8CCD0", ink="#80868E"),
    ENTRY: Look("#8FC3E2", "#8FC3E2", 0),
    FRAME: Look(PAPER, "#9AA0A8"),
    **{f"count{step}": Look(fill, "#9AA0A8", ink=ink) for step, (fill, ink) in enumerate(COUNTS)},
}
"""by what a place is"""
MOST_COUNT = len(COUNTS) - 1
"""from here on, counts share the darkest look"""
LETTER, LETTER_LEFT, LETTER_BASE, LETTER_SHIFT = 9, 3, 9, 3
"""size of the letter in the corner of a rectangle, its left side and the line it stands on, and how far the text gives way"""


class Tile(NamedTuple):
    """A rectangle, with a text in its middle.

    Args:
        x: of its left side.
        y: of its top.
        width: of it.
        height: of it.
        look: a name in ``LOOKS``.
        text: in it, or nothing.
        size: of the text.
        plane: that it belongs to, such as input; nothing for the legend.
        letter: small in its corner, or nothing.
    """

    x: int
    y: int
    width: int
    height: int
    look: str
    text: str = ""
    size: int = 12
    plane: str = ""
    letter: str = ""

    @property
    def middle(self) -> int:
        """Where its text has its middle, from its top: below the letter."""
        return self.height // 2 + (LETTER_SHIFT if self.letter else 0)


class Words(NamedTuple):
    """A line of text.

    Args:
        x: where it begins, has its middle or ends.
        y: its middle.
        text: any.
        size: of the letters.
        bold: whether.
        ink: colour.
        anchor: start, middle or end.
    """

    x: int
    y: int
    text: str
    size: int = 13
    bold: bool = False
    ink: str = INK
    anchor: str = "start"


@dataclass(frozen=True)
class Scene:
    """A picture.

    Args:
        width: of all.
        height: of all.
        title: of the picture, for those who cannot see it.
        description: what it shows, for them.
        shapes: in the order in which they are drawn.
    """

    width: int
    height: int
    title: str
    description: str
    shapes: tuple[Tile | Words, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that is drawn, the same whatever draws it."""
        looks = {shape.look: LOOKS[shape.look] for shape in self.shapes if isinstance(shape, Tile)}
        drawn = (self.width, self.height, sorted(looks.items()), self.shapes)
        return hashlib.sha256(repr(drawn).encode()).hexdigest()


def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """Return about how wide a text is, rather too much than too little."""
    return int(len(text) * size * (0.63 if bold else 0.57)) + 1
