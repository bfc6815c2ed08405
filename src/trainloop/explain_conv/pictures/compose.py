"""From frames to a scene: planes beside each other, with their titles, places, symbols, formula and legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.pictures.planes import LEGEND, READ, Frame, Plane
from trainloop.explain_conv.pictures.scene import PALE, Scene, Tile, Words, text_width
from trainloop.explain_conv.words.lines import HELD, window, wrapped
from trainloop.explain_conv.words.names import head
from trainloop.explain_conv.words.size import distinct_axes

MARGIN, GAP, LINE = 16, 34, 18
NUMBER, INDEX, TEXT, HEAD = 12, 10, 13, 16
"""sizes of letters: in a cell, of row and column numbers, of lines, of the first line"""
SMALLEST_CELL, DIGIT = 24, 9
"""width of a cell, and what each digit in it needs"""
MOST_CELLS, MOST_WIDTH = 16, 440
"""a plane has at most so many rows and columns, and is at most so wide"""
TALLEST = 33
"""a cell that long numbers make wider than this is no longer a square"""
FEW_CELLS = 10
"""where there are several channels"""
LEAST_WIDTH = 560
MOST_FORMULA = 2
"""lines of a formula in an animation, whose frames are equally high"""
LEAST_TITLE = 165
"""how wide the title of a plane may be, however small the plane is"""


@dataclass(frozen=True)
class Part:
    """Something drawn at 0, 0 that finds its place later.

    Args:
        width: of it.
        height: of it.
        shapes: in it.
    """

    width: int
    height: int
    shapes: tuple[Tile | Words, ...]

    def moved(self, x: int, y: int) -> list[Tile | Words]:
        """Return the shapes at another place."""
        return [shape._replace(x=shape.x + x, y=shape.y + y) for shape in self.shapes]


def cell_size(explanation: Explanation) -> int:
    """Return the width of a cell in which every number of an explanation fits."""
    arrays = [array for view in explanation.views for name, array in view.arrays.items() if name == "uncropped"]
    largest = max(int(array.abs().max()) for array in (explanation.output, explanation.input, *arrays))
    return max(SMALLEST_CELL, len(str(largest)) * DIGIT + 6)


def plane_part(plane: Plane, cell: int, most_cells: int = MOST_CELLS) -> Part:
    """Return a plane with its title and the numbers of its rows and columns; cut around its focus where it is large.

    Args:
        plane: to draw.
        cell: width of a cell.
        most_cells: rows and columns at most.
    """
    most = max(5, min(most_cells, MOST_WIDTH // cell))
    rows, columns = (window(size, most, at) for size, at in zip(plane.sizes, plane.focus, strict=True))
    side = 22 if max(plane.sizes[0], plane.room[0]) > 1 else 0
    width = side + cell * max(len(columns), plane.room[1])
    lines = _wrapped(plane.title + _cut_text(plane, rows, columns), max(width, LEAST_TITLE), INDEX + 2)
    top, high = len(lines) * LINE, min(cell, TALLEST)
    shapes: list[Tile | Words] = [Words(side, LINE * n + 8, line, INDEX + 2) for n, line in enumerate(lines)]
    for n, column in enumerate(columns if plane.room == (0, 0) else ()):
        x = side + n * cell + cell // 2
        shapes.append(Words(x, top + 7, str(plane.first[1] + column), INDEX, ink=PALE, anchor="middle"))
    marked: list[Tile | Words] = []
    for m, row in enumerate(rows):
        y = top + 16 + m * high
        if side and plane.room == (0, 0):
            shapes.append(Words(side - 5, y + high // 2, str(plane.first[0] + row), INDEX, ink=PALE, anchor="end"))
        for n, column in enumerate(columns):
            place = (row, column)
            look = plane.look(place)
            number, letter = plane.number(place), plane.letter(place)
            tile = Tile(side + n * cell, y, cell, high, look, number, NUMBER, plane.name, letter)
            # Thick outlines lie over those of their neighbours.
            (marked if look in ("chosen", "read", "lost") else shapes).append(tile)
    width = max(width, *(text_width(line, INDEX + 2) for line in lines))
    return Part(width, top + 16 + high * len(rows), (*shapes, *marked))


def frame_part(frame: Frame, cell: int, width: int = 0, formula_lines: int = 0) -> Part:
    """Return a frame: its title, its columns of planes with the symbols between, and its formula.

    Args:
        frame: to draw.
        cell: width of a cell.
        width: that the formula may take at least.
        formula_lines: how much room the formula gets whatever it needs; 0 for what it needs.
    """
    most = FEW_CELLS if any(len(column) > 1 for column in frame.columns) else MOST_CELLS
    columns = [[plane_part(plane, cell, most) for plane in column] for column in frame.columns]
    widths = [max(part.width for part in column) for column in columns]
    total = max(width, LEAST_WIDTH, sum(widths) + GAP * (len(columns) - 1))
    shapes: list[Tile | Words] = [Words(0, 8, _fitting(frame.title, total, TEXT), TEXT, bold=True)]
    x, lowest = 0, 0
    for n, column in enumerate(columns):
        y = LINE + 8
        for part in column:
            shapes += part.moved(x, y)
            y += part.height + 12
        lowest = max(lowest, y)
        x += widths[n]
        if n < len(frame.symbols) and frame.symbols[n]:
            shapes.append(Words(x + GAP // 2, LINE + 70, frame.symbols[n], 18, anchor="middle"))
        x += GAP
    lines = _wrapped(frame.formula, total, TEXT)
    if 0 < formula_lines < len(lines):
        lines = [*lines[: formula_lines - 1], _fitting("… " + lines[-1], total, TEXT)]
    shapes += [Words(0, lowest + 6 + LINE * n, line, TEXT) for n, line in enumerate(lines)]
    return Part(total, lowest + LINE * (formula_lines or len(lines)), tuple(shapes))


def scene_of(
    explanation: Explanation, parts: Sequence[Part], notes: Sequence[str] = (), checked: str = "outputs"
) -> Scene:
    """Return a picture of parts below each other, under the problem and its size, above the legend.

    Args:
        explanation: that the parts belong to.
        parts: from above.
        notes: lines below them.
        checked: which numbers of the picture were compared with torch.
    """
    width = max(LEAST_WIDTH, *(part.width for part in parts))
    shapes: list[Tile | Words] = []
    y = MARGIN
    # The two sizes stay on one line.
    for line in _wrapped(head(explanation).replace(" → ", f"{HELD}→{HELD}"), width, HEAD, bold=True):
        shapes.append(Words(MARGIN, y + 8, line, HEAD, bold=True))
        y += 22
    texts = [*_size_lines(explanation), _checked(explanation, checked)]
    for line in [line for text in texts for line in _wrapped(text, width, NUMBER)]:
        shapes.append(Words(MARGIN, y + 8, line, NUMBER, ink=PALE))
        y += LINE
    for part in parts:
        y += 12
        shapes += part.moved(MARGIN, y)
        y += part.height
    for line in [line for note in notes for line in _wrapped(note, width, NUMBER)]:
        shapes.append(Words(MARGIN, y + 8, line, NUMBER, ink=PALE))
        y += LINE
    legend = legend_part([shape for shape in shapes if isinstance(shape, Tile)], width)
    shapes += legend.moved(MARGIN, y + 10)
    total = y + 10 + legend.height + MARGIN
    title = head(explanation)
    spoken = (shape.text for part in parts for shape in part.shapes if isinstance(shape, Words) and shape.size == TEXT)
    description = " ".join([*texts, *spoken])
    return Scene(width + 2 * MARGIN, total, title, description, tuple(shapes))


def legend_part(tiles: Sequence[Tile], width: int) -> Part:
    """Return what the looks and letters mean that occur.

    Args:
        tiles: of the picture.
        width: that there is.
    """
    looks = {tile.look for tile in tiles}
    meanings = [(look, "", text) for look, text in LEGEND.items() if look in looks]
    if any(tile.letter for tile in tiles):
        meanings.insert(2, (READ, "a", "a with a, b with b, …: multiplied with each other"))
    shapes: list[Tile | Words] = []
    x, y = 0, 0
    for look, letter, text in meanings:
        wide = 24 + text_width(text, INDEX + 1) + 10
        if x and x + wide > width:
            x, y = 0, y + 22
        shapes += [Tile(x, y, 16, 16, look, letter, INDEX), Words(x + 23, y + 8, text, INDEX + 1)]
        x += wide
    return Part(width, y + 18, tuple(shapes))


def _size_lines(explanation: Explanation) -> list[str]:
    """Return the arithmetic of the size, of both axes in one line where the numbers are the same."""
    return [f"{names} → {axis.size.symbols} = {axis.size.numbers}" for names, axis in distinct_axes(explanation)]


def _checked(explanation: Explanation, checked: str) -> str:
    """Return what the comparison with torch found; without its version, so that a picture changes only with its content."""
    bad = [check.what for check in explanation.checks if not check.same]
    return f"NOT the numbers of torch: {', '.join(bad)}" if bad else f"{checked} checked against torch: same"


def _cut_text(plane: Plane, rows: range, columns: range) -> str:
    if (len(rows), len(columns)) == plane.sizes:
        return ""
    (down, across), (top, left) = plane.sizes, plane.first
    text = f"columns {columns[0] + left} to {columns[-1] + left} of {across}"
    return f" (rows {rows[0] + top} to {rows[-1] + top} of {down}, {text})" if down > 1 else f" ({text})"


def _wrapped(text: str, width: int, size: int, *, bold: bool = False) -> list[str]:
    return wrapped(text, max(12, width * 100 // text_width("x" * 100, size, bold=bold)))


def _fitting(text: str, width: int, size: int) -> str:
    most = width * 100 // text_width("x" * 100, size, bold=True)
    return text if len(text) <= most else text[: most - 1] + "…"
