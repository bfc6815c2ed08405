"""The matrix of a convolution, drawn with its blocks.

Rows are read row by row from one plane, columns from the other, so the matrix falls into blocks: one for each pair of a row of
either plane. A block holds the weights of one row of the kernel, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from trainloop.explain_conv.axis import Taps
from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.screen.layout import CHOSEN, NOTHING, READ, STYLES, Block, paragraph, side_by_side
from trainloop.explain_conv.words.lines import window
from trainloop.explain_conv.words.names import named_place, place_text
from trainloop.report.format import count

MOST_BLOCKS = 14
"""rows and columns of the picture of blocks"""
MOST_LINES = 16
"""rows of the matrix that are drawn"""


@dataclass(frozen=True)
class Sketch:
    """The matrix of the first pair of channels that the chosen cell needs, by its two axes.

    Args:
        explanation: the whole.
        down: tap rows at each pair of (row of the matrix's first plane, row of its second): a list, mostly of one or none.
        across: the same along the other axis.
        kernel: the weights, (K, L).
    """

    explanation: Explanation
    down: dict[tuple[int, int], list[int]]
    across: dict[tuple[int, int], list[int]]
    kernel: list[list[int]]

    @property
    def digits(self) -> int:
        """Digits of the largest number: more than one where a border repeats an element, and several taps see it."""
        most = max(map(max, self.kernel))
        taps = (max(map(len, axis.values()), default=1) for axis in (self.down, self.across))
        return len(str(most * math.prod(taps))) if self.repeats else len(str(most))

    @property
    def repeats(self) -> bool:
        """Whether several taps of an output see one element."""
        return any(len(taps) > 1 for axis in (self.down, self.across) for taps in axis.values())

    def entry(self, first: tuple[int, int], second: tuple[int, int]) -> int:
        """Return the number at a place of either plane."""
        taps_down = self.down.get((first[0], second[0]), [])
        taps_across = self.across.get((first[1], second[1]), [])
        return sum(self.kernel[row][column] for row in taps_down for column in taps_across)


def matrix_lines(explanation: Explanation, view: View, width: int) -> Iterator[Text]:
    """Yield the matrix in words, as blocks, and in numbers.

    Args:
        explanation: the whole.
        view: the matrix view.
        width: columns that there are.
    """
    sketch = _sketch(explanation)
    yield from paragraph(_text(explanation, view), width)
    if explanation.num_axes == 2:
        yield from side_by_side([_blocks(sketch, width - 2)], width)
    yield from side_by_side([_numbers(sketch, width - 2)], width)


def _text(explanation: Explanation, view: View) -> str:
    problem = explanation.problem
    rows, columns = view.arrays["matrix"].shape if "matrix" in view.arrays else view.left_out["matrix"]
    groups = f"; one such matrix for each of {problem.groups} groups" if problem.groups > 1 else ""
    full = f"{count(rows)}×{count(columns)}, {count(view.entries // problem.groups)} entries that are not empty{groups}"
    if problem.transposed:
        return (
            "matrix: M is the matrix of the convolution that leads back (a row for each of its outputs, which are this input's "
            f"elements, a column for each element of this output; {full}). This output is Mᵀ times the input: it is the "
            "matrix that is transposed, hence the name. Nothing is inverted."
        )
    return f"matrix: a row for each output, a column for each input element; {full}. The output is M times the input."


def _sketch(explanation: Explanation) -> Sketch:
    problem, cell = explanation.problem, explanation.cell
    channel = cell.terms[0].channel
    weight = explanation.weight
    if problem.transposed:
        kernel = weight[channel, cell.channel % (problem.out_channels // problem.groups)]
    else:
        kernel = weight[cell.channel, channel % (problem.in_channels // problem.groups)]
    down, across = (_pairs(axis.taps, transposed=problem.transposed) for axis in explanation.axes)
    return Sketch(explanation, down, across, kernel.tolist())


def _pairs(taps: Taps, *, transposed: bool) -> dict[tuple[int, int], list[int]]:
    """Return the taps between a place of the matrix's first plane and one of its second."""
    found: dict[tuple[int, int], list[int]] = {}
    for output, row in enumerate(taps):
        for tap in row:
            if tap.source is not None:
                pair = (tap.source, output) if transposed else (output, tap.source)
                found.setdefault(pair, []).append(tap.tap)
    return found


def _planes(explanation: Explanation) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the sizes of the plane that the rows are read from, and of that of the columns."""
    ends = (explanation.problem.input_sizes, explanation.output_sizes)
    first, second = ends if explanation.problem.transposed else ends[::-1]
    return (first[0], first[1]), (second[0], second[1])


def _focus(explanation: Explanation) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the row and the column to look at: those of the chosen cell and of the middle of what it reads."""
    cell = explanation.cell
    read = [term.source for term in cell.terms if term.source is not None] or [(0, 0)]
    rows, columns = ([source[axis] for source in read] for axis in (0, 1))
    # Rounded up, since a window of two around it has its second half there.
    source = ((min(rows) + max(rows) + 1) // 2, (min(columns) + max(columns) + 1) // 2)
    return (source, cell.place) if explanation.problem.transposed else (cell.place, source)


def _blocks(sketch: Sketch, width: int) -> Block:
    """Return a picture with one number a block: which row of the kernel it holds."""
    explanation = sketch.explanation
    (rows, _), (columns, _) = _planes(explanation)
    focus_row, focus_column = _focus(explanation)
    names = ("input", "output") if explanation.problem.transposed else ("output", "input")
    texts = {pair: "+".join(map(str, held)) for pair, held in sketch.down.items()}
    cell = max(3, *map(len, texts.values()), 0) + 1
    shown_rows = window(rows, MOST_BLOCKS, focus_row[0])
    shown_columns = window(columns, max(1, min(MOST_BLOCKS, (width - 4) // cell)), focus_column[0])
    cut = "" if (len(shown_rows), len(shown_columns)) == (rows, columns) else " (a part)"
    title = f"its {rows}×{columns} blocks{cut}, {names[0]} rows down and {names[1]} rows across: the kernel row in each"
    lines = paragraph(title, width, indent=0, style="italic")
    lines.append(Text(" " * 4 + "".join(f"{column:>{cell - 1}} " for column in shown_columns), style="dim"))
    for row in shown_rows:
        line = Text()
        line.append(f"{row:>3} ", style="dim")
        for column in shown_columns:
            text = texts.get((row, column), NOTHING)
            line.append(f"{text:>{cell - 1}} ", style="dim" if text == NOTHING else "")
        lines.append(line)
    return Block(tuple(lines))


@dataclass(frozen=True)
class Part:
    """The part of the matrix that is drawn.

    Args:
        sketch: the whole matrix.
        down: places of the plane that its rows are read from.
        across: places of the plane of its columns.
        cell: columns of the terminal that a number takes.
    """

    sketch: Sketch
    down: list[tuple[int, int]]
    across: list[tuple[int, int]]
    cell: int

    @property
    def side(self) -> int:
        """Columns of the terminal in front of the numbers."""
        return max(len(place_text(self.sketch.explanation, place)) for place in self.down) + 2

    def begins_block(self, index: int) -> bool:
        """Return whether a column begins another block."""
        return index > 0 and self.across[index][0] != self.across[index - 1][0]

    def pointer(self, chosen: tuple[int, int]) -> Text:
        """Return a line with an arrow above the chosen column."""
        parts = (
            ("  " if self.begins_block(index) else "") + f"{'↓' if place == chosen else '':>{self.cell - 1}} "
            for index, place in enumerate(self.across)
        )
        return Text(" " * self.side + "".join(parts).rstrip(), style=STYLES[CHOSEN])

    def rule(self) -> Text:
        """Return a line between two rows of blocks."""
        parts = (("+-" if self.begins_block(index) else "") + "-" * self.cell for index in range(len(self.across)))
        return Text(" " * self.side + "".join(parts), style="dim")

    def row(self, place: tuple[int, int], chosen: tuple[int, int], *, by_row: bool) -> Text:
        """Return one row of the matrix."""
        here = by_row and place == chosen
        line = Text()
        line.append(f"{place_text(self.sketch.explanation, place):>{self.side - 2}}", style="dim")
        line.append("→ " if here else "  ", style=STYLES[CHOSEN] if here else "dim")
        for index, other in enumerate(self.across):
            if self.begins_block(index):
                line.append("| ", style="dim")
            number = self.sketch.entry(place, other)
            marked = (place if by_row else other) == chosen and number
            style = STYLES[READ] if marked else ("" if number else "dim")
            line.append(f"{number or NOTHING:>{self.cell - 1}} ", style=style)
        return line


def _numbers(sketch: Sketch, width: int) -> Block:
    """Return the numbers of the blocks around the chosen cell, or of all where they fit."""
    explanation = sketch.explanation
    (rows, row_length), (columns, column_length) = _planes(explanation)
    row, column = _focus(explanation)
    cell, by_row = sketch.digits + 1, not explanation.problem.transposed
    side = len(place_text(explanation, (rows - 1, row_length - 1))) + 2
    part = Part(
        sketch,
        _places(rows, row_length, row, MOST_LINES, rule=1),
        _places(columns, column_length, column, width - side, cell=cell, rule=2),
        cell,
    )
    chosen = explanation.cell.place
    lines = paragraph(_part_title(part, rows * row_length, columns * column_length), width, indent=0, style="italic")
    if not by_row:
        lines.append(part.pointer(chosen))
    before: int | None = None
    for place in part.down:
        if before is not None and place[0] != before:
            lines.append(part.rule())
        before = place[0]
        lines.append(part.row(place, chosen, by_row=by_row))
    return Block(tuple(lines))


def _part_title(part: Part, rows: int, columns: int) -> str:
    explanation = part.sketch.explanation
    name = named_place(
        explanation, "output", explanation.cell.place, explanation.cell.channel, explanation.problem.out_channels
    )
    mark = "column" if explanation.problem.transposed else "row"
    cut = (
        ""
        if (len(part.down), len(part.across)) == (rows, columns)
        else f", {len(part.down)} rows of {count(rows)}, {len(part.across)} columns of {count(columns)}"
    )
    pair = (
        " for this pair of channels" if explanation.problem.in_channels * explanation.problem.out_channels > 1 else ""
    )
    return f"M{pair}{cut}; the {mark} of {name} is marked"


def _places(
    rows: int, length: int, focus: tuple[int, int], most: int, *, cell: int = 1, rule: int = 1
) -> list[tuple[int, int]]:
    """Return places of a plane in reading order around a focus, whole rows of it where they fit.

    Args:
        rows: of the plane.
        length: of a row.
        focus: place that must be among them.
        most: room that there is.
        cell: room that a place takes.
        rule: room that the line between two rows takes.
    """
    per_row = min(length, max(1, (most // 2 - rule if rows > 1 and length * cell > most // 2 else most) // cell))
    blocks = min(rows, max(1, (most + rule) // (per_row * cell + rule)))
    columns = window(length, per_row, focus[1])
    return [(row, column) for row in window(rows, blocks, focus[0]) for column in columns]
