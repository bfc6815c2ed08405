"""The planes of an explanation as grids with their marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trainloop.explain_conv.explanation import Array, Explanation, View
from trainloop.explain_conv.screen.layout import CHOSEN, CUT, NOTHING, READ, Block, Grid
from trainloop.explain_conv.words.lines import window
from trainloop.explain_conv.words.names import channel_title, weight_name

Place = tuple[int, int]
SMALL = 5
"""rows and columns of a cut-out around a cell"""


def grid_of(
    title: str,
    plane: Array,
    marks: Mapping[Place, str] | Callable[[int, int], str],
    focus: Place,
    first: Place = (0, 0),
    *,
    dots: bool = False,
) -> Grid:
    """Return a grid of a plane of numbers.

    Args:
        title: above it.
        plane: (rows, columns).
        marks: of some places, or what returns the mark of any; nothing for none.
        focus: that must be seen.
        first: what the first row and column are called.
        dots: show 0 as a place where nothing is.
    """

    def number(row: int, column: int) -> str:
        value = int(plane[row, column])
        return NOTHING if dots and not value else str(value)

    def mark(row: int, column: int) -> str:
        return marks(row, column) if callable(marks) else marks.get((row, column), "")

    return Grid(title, (plane.shape[0], plane.shape[1]), number, mark, focus, first)


def cell_grids(explanation: Explanation, width: int) -> list[Block]:
    """Return the input, the kernel and the output, with the chosen cell and what it reads marked."""
    problem, cell = explanation.problem, explanation.cell
    terms = [term for term in cell.terms if term.source is not None]
    channel = terms[0].channel if terms else 0
    own = [term for term in terms if term.channel == channel]
    sources = {term.source: READ for term in own if term.source is not None}
    middle = own[len(own) // 2] if own else None
    focus = (0, 0) if middle is None or middle.source is None else middle.source
    kernel, name = _kernel(explanation, channel, cell.channel), weight_name(problem, channel, cell.channel)
    return [
        grid_of(channel_title("input", channel, problem.in_channels), explanation.input[channel], sources, focus).block(
            width
        ),
        grid_of(name, kernel, {term.tap: READ for term in own}, middle.tap if middle else (0, 0)).block(width),
        grid_of(
            channel_title("output", cell.channel, problem.out_channels),
            explanation.output[cell.channel],
            {cell.place: CHOSEN},
            cell.place,
        ).block(width),
    ]


def pixel_grids(explanation: Explanation, width: int) -> list[Block]:
    """Return the input with the chosen pixel, and the output with what it goes into."""
    problem, pixel = explanation.problem, explanation.pixel
    channels = {effect.channel for effect in pixel.effects}
    channel = explanation.cell.channel if explanation.cell.channel in channels else min(channels, default=0)
    reached = {effect.place: READ for effect in pixel.effects if effect.channel == channel}
    focus = sorted(reached)[len(reached) // 2] if reached else (0, 0)
    input = channel_title("input", pixel.channel, problem.in_channels)
    output = channel_title("output", channel, problem.out_channels)
    return [
        grid_of(input, explanation.input[pixel.channel], {pixel.place: CHOSEN}, pixel.place).block(width),
        grid_of(output, explanation.output[channel], reached, focus).block(width),
    ]


def overlap_grid(explanation: Explanation, width: int) -> Block:
    """Return the counts."""
    counts = explanation.overlap.counts
    focus = explanation.cell.place if explanation.problem.transposed else explanation.pixel.place
    title = "times written" if explanation.problem.transposed else "times read"
    return grid_of(title, counts, {}, focus).block(width)


def uncropped_grid(explanation: Explanation, view: View, width: int) -> Block:
    """Return all stamps added up, with what is cut off marked."""
    cell, sizes = explanation.cell, explanation.output_sizes
    plane = view.arrays["uncropped"][cell.channel]
    top, left = view.offset
    here = (cell.place[0] + top, cell.place[1] + left)

    def mark(row: int, column: int) -> str:
        if (row, column) == here:
            return CHOSEN
        return "" if top <= row < top + sizes[0] and left <= column < left + sizes[1] else CUT

    title = channel_title("all stamps added up", cell.channel, explanation.problem.out_channels)
    return grid_of(title, plane, mark, here, (-top, -left)).block(width)


def window_grids(explanation: Explanation, view: View, width: int) -> list[Block]:
    """Return what a window slides over (the spread or the padded input) with the window of the cell, and the kernel."""
    problem, cell = explanation.problem, explanation.cell
    terms = [term for term in cell.terms if term.channel == cell.terms[0].channel]
    channel, (top, left) = terms[0].channel, view.offset
    name = "spread" if view.name == "zero_insert" else "padded"
    plane = view.arrays[name][channel]
    places = {(term.place[0] + top, term.place[1] + left): READ for term in terms}
    focus = sorted(places)[len(places) // 2]
    padded = "padded input" if plane.shape != explanation.input[channel].shape else "input"
    title = channel_title("spread input" if name == "spread" else padded, channel, problem.in_channels)
    grid = grid_of(title, plane, places, focus, (-top, -left), dots=True)
    if name == "padded":
        kernel, label = _kernel(explanation, channel, cell.channel), weight_name(problem, channel, cell.channel)
    else:
        inputs = problem.in_channels // problem.groups
        kernel = view.arrays["turned"][cell.channel, channel % inputs]
        label = f"turned {weight_name(problem, channel, cell.channel)}"
    return [grid.block(width), grid_of(label, kernel, {}, (0, 0)).block(width)]


def cut_outs(explanation: Explanation, width: int) -> list[Block]:
    """Return the numbers around the chosen cell as each view has them, bias included."""
    cell = explanation.cell
    bias = explanation.bias[cell.channel]
    blocks = []
    for view in explanation.views:
        if view.output is not None:
            blocks.append(_small(view.name, view.output[cell.channel], bias, cell.place, width))
    return blocks


def _small(title: str, plane: Array, bias: Array, place: Place, width: int) -> Block:
    """Return a few rows and columns around a place, with the bias added."""
    rows, columns = (window(size, SMALL, at) for size, at in zip(plane.shape, place, strict=True))
    part = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] + bias
    here = (place[0] - rows[0], place[1] - columns[0])
    return grid_of(title, part, {here: CHOSEN}, here, (rows[0], columns[0])).block(width)


def _kernel(explanation: Explanation, channel: int, output: int) -> Array:
    return explanation.weight[explanation.problem.weight_index(channel, output)]
