"""Lines, blocks and grids of numbers, made to fit a width.

Meaning never hangs on colour alone: the chosen number stands in square brackets, the numbers that belong to it in round ones,
and a place where nothing is shows a dot. The two colours, orange and blue, are told apart by all who see colours at all.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from trainloop.explain_conv.words.lines import window, wrapped

CHOSEN, READ, CUT = "chosen", "read", "cut"
"""marks: the number that is explained, those that belong to it, those that are cut off"""
STYLES = {CHOSEN: "bold color(208)", READ: "bold color(33)", CUT: "dim"}
BRACKETS = {CHOSEN: ("[", "]"), READ: ("(", ")")}
NOTHING = "·"
GAP = 3
"""columns between two blocks side by side"""
MOST_ROWS = 12
"""of a grid"""


@dataclass(frozen=True)
class Block:
    """Lines that belong together."""

    lines: tuple[Text, ...]

    @property
    def width(self) -> int:
        """Columns of the longest line."""
        return max((line.cell_len for line in self.lines), default=0)


@dataclass(frozen=True)
class Grid:
    """A plane of numbers to draw.

    Args:
        title: above it.
        sizes: (rows, columns).
        number: text of the number at (row, column).
        mark: of the number at (row, column); nothing for none.
        focus: (row, column) that must be seen where not everything fits.
        first: what the first row and column are called, below 0 for padding.
        digits: for which there is room in a cell, whatever the numbers are that are drawn.
    """

    title: str
    sizes: tuple[int, int]
    number: Callable[[int, int], str]
    mark: Callable[[int, int], str]
    focus: tuple[int, int]
    first: tuple[int, int] = (0, 0)
    digits: int = 0

    def block(self, width: int, most_rows: int = MOST_ROWS, *, numbered: bool = True) -> Block:
        """Return the grid with as many rows and columns around the focus as fit.

        Args:
            width: columns that there are.
            most_rows: rows that are drawn at most.
            numbered: whether columns have numbers.
        """
        rows = window(self.sizes[0], most_rows, self.focus[0])
        cell = self._cell_width(rows, window(self.sizes[1], width, self.focus[1]))
        side = self._side_width(rows)
        columns = window(self.sizes[1], max(1, (width - side) // cell), self.focus[1])
        cut = (len(rows), len(columns)) != self.sizes
        numbers = "".join(f"{self.first[1] + c if numbered else '':>{cell - 1}} " for c in columns)
        head = Text(" " * side + numbers, style="dim")
        lines = [self._line(row, columns, cell, side) for row in rows]
        title = wrapped(self.title + (self._window_text(rows, columns) if cut else ""), width)
        return Block((*(Text(line, style="italic") for line in title), head, *lines))

    def _window_text(self, rows: range, columns: range) -> str:
        down = f"rows {self.first[0] + rows[0]} to {self.first[0] + rows[-1]} of {self.sizes[0]}, "
        across = f"columns {self.first[1] + columns[0]} to {self.first[1] + columns[-1]} of {self.sizes[1]}"
        return f" ({down if self.sizes[0] > 1 else ''}{across})"

    def _cell_width(self, rows: range, columns: range) -> int:
        longest = max(self.digits, *(len(self.number(row, column)) for row in rows for column in columns))
        index = max(len(str(self.first[1] + column)) for column in (columns[0], columns[-1]))
        return max(longest + 2, index + 1)

    def _side_width(self, rows: range) -> int:
        return 0 if self.sizes[0] == 1 else max(len(str(self.first[0] + row)) for row in (rows[0], rows[-1])) + 1

    def _line(self, row: int, columns: range, cell: int, side: int) -> Text:
        line = Text()
        line.append(f"{self.first[0] + row:>{side - 1}} " if side else "", style="dim")
        for column in columns:
            mark, number = self.mark(row, column), self.number(row, column)
            left, right = BRACKETS.get(mark, (" ", " "))
            style = STYLES.get(mark, "dim" if number == NOTHING else "")
            line.append(f"{left + number:>{cell - 1}}{right}", style=style)
        return line


def side_by_side(blocks: Sequence[Block], width: int, indent: int = 2) -> list[Text]:
    """Return blocks beside each other, in as many rows of blocks as the width needs.

    Args:
        blocks: in order.
        width: columns that there are.
        indent: columns in front.
    """
    lines: list[Text] = []
    row: list[Block] = []
    for block in blocks:
        if row and indent + sum(one.width + GAP for one in row) + block.width > width:
            lines += [*_row_of(row, indent), Text()]
            row = []
        row.append(block)
    return lines + _row_of(row, indent)


def _row_of(blocks: Sequence[Block], indent: int) -> list[Text]:
    lines = []
    for index in range(max(len(block.lines) for block in blocks)):
        line = Text(" " * indent)
        for place, block in enumerate(blocks):
            if index < len(block.lines):
                line.append_text(block.lines[index])
            before = indent + sum(one.width + GAP for one in blocks[: place + 1])
            line.append(" " * (before - line.cell_len))
        line.rstrip()
        lines.append(line)
    return lines


def paragraph(text: str, width: int, *, indent: int = 2, style: str = "", first: str = "") -> list[Text]:
    """Return a text in lines of a width.

    Args:
        text: any.
        width: columns that there are.
        indent: columns in front.
        style: of all of it.
        first: what stands in front of the first line, filled up to the indent; spaces alone are taken as they are.
    """
    front = first if first and not first.strip() else f"{first:<{indent}}"
    return [Text(line, style=style) for line in wrapped(text, max(width, indent + 20), front, " " * indent)]


def heading(text: str, width: int) -> list[Text]:
    """Return the title of a part, with an empty line before it."""
    return [Text(), *paragraph(text, width, indent=0, style="bold cyan")]


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: Sequence[str] = (), indent: int = 2
) -> list[Text]:
    """Return aligned columns under headings; the last column is wrapped where it does not fit.

    Args:
        columns: headings.
        rows: cells.
        width: columns of the terminal.
        right: headings of the columns that are aligned right.
        indent: columns in front.
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    rest = max(12, width - indent - sum(widths[:-1]) - 2 * (len(widths) - 1))
    lines = []
    for number, row in enumerate((columns, *rows)):
        parts = textwrap.wrap(row[-1], rest, break_on_hyphens=False) or [""]
        cells = [
            cell.rjust(size) if name in right else cell.ljust(size)
            for name, cell, size in zip(columns, row, widths, strict=True)
        ]
        last = parts[0].rjust(widths[-1]) if columns[-1] in right else parts[0]
        front = " " * indent + "".join(cell + "  " for cell in cells[:-1])
        style = "bold" if number == 0 else ""
        lines.append(Text((front + last).rstrip(), style=style))
        lines += [Text(" " * len(front) + part, style=style) for part in parts[1:]]
    return lines
