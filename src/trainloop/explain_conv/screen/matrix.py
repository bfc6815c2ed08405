"""The matrix of a convolution, drawn with its blocks.

Rows are read row by row from one plane, columns from the other, so the matrix falls into blocks: one for each pair of a row of
either plane. A block holds the weights of one row of the kernel, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from trainloop.explain_conv.axis import Taps
from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.screen.layout import CHOSEN, NOTHING, READ, STYLES, Block, paragraph, side_by_side, window
from trainloop.explain_conv.screen.words import named_place, place_text
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
        yield from side_by_side([_blocks(sketch)], width)
    yield from side_by_side([_numbers(sketch, width - 2)], width)


def _text(explanation: Explanation, view: View) -> str:
    problem = explanation.problem
    rows, columns = view.arrays["matrix"].shape if "matrix" in view.arrays else view.left_out["matrix"]
    groups = f"; one such matrix for each of {problem.groups} groups" if problem.groups > 1 else ""
    full = f"{count(rows)}×{count(columns)}, {count(view.entries)} entries that are not empty{groups}"
    if problem.transposed:
        return (
            "matrix: M is the matrix of the convolution that leads back (a row for each of its outputs, which are this input's "
            f"elements, a column for each element of this output; {full}). This output is Mᵀ times the input: transposed is "
            "the matrix, hence the name. Nothing is inverted."
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


def _blocks(sketch: Sketch) -> Block:
    """Return a picture with one letter a block: which row of the kernel it holds."""
    explanation = sketch.explanation
    (rows, _), (columns, _) = _planes(explanation)
    focus_row, focus_column = _focus(explanation)
    names = ("input", "output") if explanation.problem.transposed else ("output", "input")
    shown_rows = window(rows, MOST_BLOCKS, focus_row[0])
    shown_columns = window(columns, MOST_BLOCKS, focus_column[0])
    cut = "" if (len(shown_rows), len(shown_columns)) == (rows, columns) else ", a part"
    title = f"its {rows}×{columns} blocks{cut}: the kernel row in each"
    lines = [Text(title, style="italic")]
    lines.append(Text(" " * 4 + "".join(f"{column:>3} " for column in shown_columns) + f" {names[1]} row", style="dim"))
    for row in shown_rows:
        line = Text(f"{row:>3} ", style="dim")
        for column in shown_columns:
            held = sketch.down.get((row, column), [])
            text = "+".join(map(str, held)) or NOTHING
            line.append(f"{text:>3} ", style="not dim" if held else "dim")
        lines.append(line)
    lines[2].append(f" ({names[0]} rows go down)", style="dim")
    return Block(tuple(lines))


def _numbers(sketch: Sketch, width: int) -> Block:
    """Return the numbers of the blocks around the chosen cell, or of all where they fit."""
    explanation = sketch.explanation
    (rows, row_length), (columns, column_length) = _planes(explanation)
    row, column = _focus(explanation)
    side = len(f"{rows - 1},{row_length - 1}") + 2
    fits = (width - side) // 2
    across = _places(columns, column_length, column, max(fits, 4))
    down = _places(rows, row_length, row, MOST_LINES)
    chosen = explanation.cell.place
    whole = len(across) == columns * column_length and len(down) == rows * row_length
    title = (
        "M"
        if whole
        else f"M, {len(down)} rows of {count(rows * row_length)}, {len(across)} columns of {count(columns * column_length)}"
    )
    mark = "column" if explanation.problem.transposed else "row"
    name = named_place(explanation, "output", chosen, explanation.cell.channel, explanation.problem.out_channels)
    lines = paragraph(f"{title}; the {mark} of {name} is marked", width, indent=0, style="italic")
    lines.append(Text(" " * side + _pointer(across, chosen if mark == "column" else None), style=STYLES[CHOSEN]))
    before: int | None = None
    for place in down:
        if before is not None and place[0] != before:
            lines.append(Text(" " * side + _rule(across), style="dim"))
        before = place[0]
        lines.append(_row(sketch, place, across, side, chosen, mark))
    return Block(tuple(lines))


def _places(rows: int, length: int, focus: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """Return places of a plane in reading order, around a focus, whole rows of it where they fit; at most so many."""
    separators = rows - 1
    if rows * length + separators <= most:
        return [(row, column) for row in range(rows) for column in range(length)]
    per_row = min(length, max(1, (most - 2) // 2)) if rows > 1 else min(length, most)
    blocks = min(rows, max(1, (most + 1) // (per_row + 1)))
    columns = window(length, per_row, focus[1])
    return [(row, column) for row in window(rows, blocks, focus[0]) for column in columns]


def _pointer(across: list[tuple[int, int]], chosen: tuple[int, int] | None) -> str:
    return "".join(
        ("  " if _new_block(across, index) else "") + ("↓ " if place == chosen else "  ")
        for index, place in enumerate(across)
    ).rstrip()


def _rule(across: list[tuple[int, int]]) -> str:
    return "".join(("+-" if _new_block(across, index) else "") + "--" for index in range(len(across)))


def _new_block(across: list[tuple[int, int]], index: int) -> bool:
    return index > 0 and across[index][0] != across[index - 1][0]


def _row(
    sketch: Sketch, place: tuple[int, int], across: list[tuple[int, int]], side: int, chosen: tuple[int, int], mark: str
) -> Text:
    own = place_text(sketch.explanation, place)
    pointer = "→" if mark == "row" and place == chosen else " "
    line = Text(f"{own:>{side - 2}}{pointer} ", style=STYLES[CHOSEN] if pointer == "→" else "dim")
    for index, other in enumerate(across):
        if _new_block(across, index):
            line.append("| ", style="dim")
        number = sketch.entry(place, other)
        marked = (other if mark == "column" else place) == chosen and number
        style = STYLES[READ] if marked else ("not dim" if number else "dim")
        line.append(f"{number or NOTHING} ", style=style)
    return line
