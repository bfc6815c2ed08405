"""The matrix view as a picture: every weight of the matrix a small square, those of one output marked."""

from __future__ import annotations

import math

from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.pictures.compose import LEAST_WIDTH, LINE, NUMBER, TEXT, Part
from trainloop.explain_conv.pictures.planes import READ
from trainloop.explain_conv.pictures.scene import ENTRY, FRAME, Tile, Words
from trainloop.explain_conv.screen.layout import window
from trainloop.explain_conv.screen.words import named_place
from trainloop.report.format import count

MOST_ROWS, MOST_COLUMNS = 64, 128
"""of the matrix that are drawn"""
SQUARE = 7


def matrix_part(explanation: Explanation, view: View) -> Part:
    """Return the matrix of the first group of a transposed convolution, with the column that makes the cell marked.

    Args:
        explanation: of a transposed convolution.
        view: matrix.
    """
    matrix = view.arrays.get("matrix")
    title = "matrix: output = transpose of the convolution's matrix · input"
    if matrix is None:
        rows, columns = view.left_out["matrix"]
        text = f"A matrix of {count(rows)} × {count(columns)} is too large to draw."
        return Part(LEAST_WIDTH, 3 * LINE, (Words(0, 8, title, TEXT, bold=True), Words(0, LINE + 12, text, NUMBER)))
    here = _column(explanation)
    down = window(matrix.shape[0], MOST_ROWS, 0 if here is None else _first(matrix[:, here].tolist()))
    across = window(matrix.shape[1], MOST_COLUMNS, here or 0)
    numbers = matrix.tolist()
    shapes: list[Tile | Words] = [
        Words(0, 8, title, TEXT, bold=True),
        *(Words(0, LINE * (n + 1) + 10, line, NUMBER) for n, line in enumerate(_says(explanation, view, down, across))),
        Tile(0, 3 * LINE + 6, SQUARE * len(across), SQUARE * len(down), FRAME),
    ]
    for m, row in enumerate(down):
        for n, column in enumerate(across):
            if numbers[row][column]:
                look = READ if column == here else ENTRY
                x, y = SQUARE * n, 3 * LINE + 6 + SQUARE * m
                shapes.append(Tile(x, y, SQUARE, SQUARE, look, plane="matrix"))
    return Part(max(LEAST_WIDTH, SQUARE * len(across)), 3 * LINE + 12 + SQUARE * len(down), tuple(shapes))


def _column(explanation: Explanation) -> int | None:
    """Return the matrix's column of the cell; None if the cell is in another group than the one whose matrix it is."""
    problem, cell = explanation.problem, explanation.cell
    if cell.channel >= problem.out_channels // problem.groups:
        return None
    plane = math.prod(explanation.output_sizes)
    return cell.channel * plane + cell.place[0] * explanation.output_sizes[1] + cell.place[1]


def _first(column: list[int]) -> int:
    return next((row for row, number in enumerate(column) if number), 0)


def _says(explanation: Explanation, view: View, down: range, across: range) -> list[str]:
    problem, cell = explanation.problem, explanation.cell
    rows, columns = view.arrays["matrix"].shape
    cut = (
        f"; drawn: rows {down[0]} to {down[-1]}, columns {across[0]} to {across[-1]}"
        if (len(down), len(across)) != (rows, columns)
        else ""
    )
    groups = f", first of {problem.groups} groups" if problem.groups > 1 else ""
    name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
    marked = f"The marked column makes {name}." if _column(explanation) is not None else f"{name} is in another group."
    return [f"{count(rows)} rows (inputs) × {count(columns)} columns (outputs){groups}{cut}", marked]
