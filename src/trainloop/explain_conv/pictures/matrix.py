"""The matrix view as a picture: every weight of the matrix a small square, those of one output marked."""

from __future__ import annotations

from torch import Tensor

from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.pictures.compose import LEAST_WIDTH, LINE, NUMBER, TEXT, Part
from trainloop.explain_conv.pictures.planes import READ
from trainloop.explain_conv.pictures.scene import ENTRY, FRAME, Tile, Words
from trainloop.explain_conv.pictures.windows import group_channels
from trainloop.explain_conv.views import Entries
from trainloop.explain_conv.words.lines import window
from trainloop.explain_conv.words.names import named_place
from trainloop.report.format import count

MOST_ROWS, MOST_COLUMNS = 64, 128
"""of the matrix that are drawn"""
SQUARE = 7


def matrix_part(explanation: Explanation, view: View) -> Part:
    """Return the matrix of the cell's group of a transposed convolution, with the column that makes the cell marked.

    Args:
        explanation: of a transposed convolution.
        view: matrix.
    """
    title = "matrix: output = transpose of the convolution's matrix · input"
    if "matrix" in view.left_out:
        rows, columns = view.left_out["matrix"]
        text = f"A matrix of {count(rows)} × {count(columns)} is too large to draw."
        return Part(LEAST_WIDTH, 3 * LINE, (Words(0, 8, title, TEXT, bold=True), Words(0, LINE + 12, text, NUMBER)))
    matrix, here = group_matrix(explanation), _column(explanation)
    down = window(matrix.shape[0], MOST_ROWS, _first(matrix[:, here].tolist()))
    across = window(matrix.shape[1], MOST_COLUMNS, here)
    numbers = matrix.tolist()
    shapes: list[Tile | Words] = [
        Words(0, 8, title, TEXT, bold=True),
        *(
            Words(0, LINE * (n + 1) + 10, line, NUMBER)
            for n, line in enumerate(_says(explanation, matrix, down, across))
        ),
        Tile(0, 3 * LINE + 6, SQUARE * len(across), SQUARE * len(down), FRAME),
    ]
    for m, row in enumerate(down):
        for n, column in enumerate(across):
            if numbers[row][column]:
                look = READ if column == here else ENTRY
                x, y = SQUARE * n, 3 * LINE + 6 + SQUARE * m
                shapes.append(Tile(x, y, SQUARE, SQUARE, look, plane="matrix"))
    return Part(max(LEAST_WIDTH, SQUARE * len(across)), 3 * LINE + 12 + SQUARE * len(down), tuple(shapes))


def group_matrix(explanation: Explanation) -> Tensor:
    """Return the matrix of the group that the cell is in, from the taps; shape (C·H·W, O·P·Q).

    Args:
        explanation: of a transposed convolution.
    """
    problem, (down, across) = explanation.problem, explanation.axes
    inputs, _ = group_channels(problem, _group(explanation))
    # All groups have their entries in the same places: with the weights of this one in front it is the first.
    weight = explanation.weight.roll(-inputs.start, 0)
    return Entries(problem, (down.taps, across.taps)).dense(weight)


def _group(explanation: Explanation) -> int:
    """Return which group the cell is in."""
    return explanation.cell.channel // (explanation.problem.out_channels // explanation.problem.groups)


def _column(explanation: Explanation) -> int:
    """Return the column of the cell, in the matrix of its group."""
    cell, (_, outputs) = explanation.cell, group_channels(explanation.problem, _group(explanation))
    rows, columns = explanation.output_sizes
    return ((cell.channel - outputs.start) * rows + cell.place[0]) * columns + cell.place[1]


def _first(column: list[int]) -> int:
    return next((row for row, number in enumerate(column) if number), 0)


def _says(explanation: Explanation, matrix: Tensor, down: range, across: range) -> list[str]:
    problem, cell = explanation.problem, explanation.cell
    rows, columns = matrix.shape
    cut = (
        f"; drawn: rows {down[0]} to {down[-1]}, columns {across[0]} to {across[-1]}"
        if (len(down), len(across)) != (rows, columns)
        else ""
    )
    groups = f", group {_group(explanation)} of {problem.groups}" if problem.groups > 1 else ""
    name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
    return [
        f"{count(rows)} rows (inputs) × {count(columns)} columns (outputs){groups}{cut}",
        f"The marked column makes {name}.",
    ]
