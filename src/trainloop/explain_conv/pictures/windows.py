"""Frames of a window that slides: over the padded input, or over the spread input of a transposed convolution."""

from __future__ import annotations

from trainloop.explain_conv.explain import Values, explain_cell
from trainloop.explain_conv.explanation import Array, Cell, Explanation, View
from trainloop.explain_conv.pictures.planes import (
    CHOSEN,
    DONE,
    GATHER,
    INPUT,
    INSERTED,
    LOST,
    OTHER,
    PADDING,
    READ,
    TAP,
    UNREAD,
    WAITING,
    Frame,
    Place,
    Plane,
)
from trainloop.explain_conv.problem import Problem
from trainloop.explain_conv.words.cell import sum_text
from trainloop.explain_conv.words.lines import window
from trainloop.explain_conv.words.names import channel_title, named_place, weight_name

MOST_CHANNELS = 4
"""of the input or output in one frame"""
FIRST_PAIR, SAME_GROUP, OTHER_OUTPUT, OTHER_GROUP = 1, 2, 3, 4
"""how much a plane is needed beside that of the explained place, which has 0"""


def group_channels(problem: Problem, group: int) -> tuple[range, range]:
    """Return the input and the output channels of a group.

    Args:
        problem: whose.
        group: from 0 on.
    """
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    return range(group * inputs, (group + 1) * inputs), range(group * outputs, (group + 1) * outputs)


def drawn_channels(channels: int, group: range, channel: int) -> range:
    """Return at most ``MOST_CHANNELS`` channels: those of a group first, around one of them.

    Args:
        channels: that there are.
        group: channels of one group.
        channel: of the group, that must be among them.
    """
    if len(group) > MOST_CHANNELS:
        inside = window(len(group), MOST_CHANNELS, channel - group.start)
        return range(group.start + inside.start, group.start + inside.stop)
    most = min(channels, MOST_CHANNELS)
    start = min(max(group.start - (most - len(group)) // 2, 0), channels - most)
    return range(start, start + most)


def not_drawn(explanation: Explanation, inputs: range, outputs: range) -> str:
    """Return how many channels a frame leaves out, in round brackets; nothing where it shows all.

    Args:
        explanation: the whole.
        inputs: channels of the input that are drawn.
        outputs: channels of the output that are drawn.
    """
    problem = explanation.problem
    pairs = (("input", inputs, problem.in_channels), ("output", outputs, problem.out_channels))
    parts = [f"{len(drawn)} of {all} {name} channels" for name, drawn, all in pairs if len(drawn) < all]
    return f" (drawn: {' and '.join(parts)})" if parts else ""


def never_read(explanation: Explanation, place: Place) -> bool:
    """Whether an input element goes into no output at all."""
    return any(at in axis.size.never_read for at, axis in zip(place, explanation.axes, strict=True))


class WindowFrames:
    """The frames of a view in which a window slides.

    Args:
        explanation: the whole.
        view: gather or zero_insert.
        values: the numbers.
    """

    def __init__(self, explanation: Explanation, view: View, values: Values) -> None:
        self._explanation, self._view, self._values = explanation, view, values
        self._taps = (explanation.axes[0].taps, explanation.axes[1].taps)
        self._slid = view.arrays["padded" if view.name == GATHER else "spread"]

    def frame(self, channel: int, place: Place, title: str, done: int) -> Frame:
        """Return the frame of an output; see ``walks.Frames``."""
        explanation = self._explanation
        problem = explanation.problem
        cell = explain_cell(self._values, self._taps, explanation.output, (channel, *place))
        group, made = group_channels(problem, channel // (problem.out_channels // problem.groups))
        inputs = drawn_channels(problem.in_channels, group, group.start)
        outputs = drawn_channels(problem.out_channels, made, channel)
        name = named_place(explanation, "output", place, channel, problem.out_channels)
        return Frame(
            f"{title}: {name} = {cell.value}",
            (
                tuple(self._slid_plane(cell, one, group) for one in inputs),
                tuple(self._kernel(cell, one) for one in inputs if one in group),
                tuple(self._output(cell, one, made, done) for one in outputs),
            ),
            ("∗", "="),
            f"{name} = {sum_text(cell, problem.bias)}{not_drawn(explanation, inputs, outputs)}",
        )

    def _slid_plane(self, cell: Cell, channel: int, group: range) -> Plane:
        plane, (top, left) = self._slid[channel], self._view.offset
        terms = [term for term in cell.terms if term.channel == channel]
        marks = {(term.place[0] + top, term.place[1] + left): LOST if term.source is None else READ for term in terms}
        focus = sorted(marks)[len(marks) // 2] if marks else (0, 0)

        def look(place: Place) -> str:
            if channel not in group:
                return OTHER
            return marks.get(place) or self._place_look((place[0] - top, place[1] - left))

        problem = self._explanation.problem
        name = "padded input" if self._view.name == GATHER else "spread input"
        bare = self._slid.shape == self._explanation.input.shape
        return Plane(
            "input",
            channel_title("input" if bare else name, channel, problem.in_channels),
            (plane.shape[0], plane.shape[1]),
            lambda place: str(int(plane[place])),
            look,
            focus,
            (-top, -left),
            rank=_rank(cell, channel, group),
        )

    def _place_look(self, place: Place) -> str:
        """Return what a place is, 0 for the first element of the (spread) input."""
        problem = self._explanation.problem
        strides = (1, 1) if self._view.name == GATHER else problem.stride
        source = []
        for at, stride, size in zip(place, strides, problem.input_sizes, strict=True):
            if not 0 <= at <= (size - 1) * stride:
                return PADDING
            source.append(at // stride if at % stride == 0 else None)
        if None in source:
            return INSERTED
        return UNREAD if never_read(self._explanation, (source[0] or 0, source[1] or 0)) else INPUT

    def _kernel(self, cell: Cell, channel: int) -> Plane:
        problem = self._explanation.problem
        kernel: Array = self._values.kernel(channel, cell.channel)
        name = weight_name(problem, channel, cell.channel)
        if self._view.name != GATHER:
            kernel = self._view.arrays["turned"][cell.channel, channel % (problem.in_channels // problem.groups)]
            name = f"turned {name}"
        numbers, (rows, columns) = kernel.tolist(), problem.kernel_size
        read = {term.tap for term in cell.terms if term.channel == channel and term.source is not None}

        def look(place: Place) -> str:
            tap = place if self._view.name == GATHER else (rows - 1 - place[0], columns - 1 - place[1])
            return READ if tap in read else TAP

        return Plane(
            "weight",
            name,
            (rows, columns),
            lambda place: str(numbers[place[0]][place[1]]),
            look,
            (rows // 2, columns // 2),
            rank=_rank(cell, channel, range(channel, channel + 1)),
        )

    def _output(self, cell: Cell, channel: int, group: range, done: int) -> Plane:
        explanation = self._explanation
        numbers = explanation.output[channel]
        rows, columns = explanation.output_sizes

        def is_done(place: Place) -> bool:
            return (channel * rows + place[0]) * columns + place[1] < done

        def look(place: Place) -> str:
            if channel not in group:
                return OTHER
            if channel == cell.channel and place == cell.place:
                return CHOSEN
            return DONE if is_done(place) else WAITING

        return Plane(
            "output",
            channel_title("output", channel, explanation.problem.out_channels),
            (rows, columns),
            lambda place: str(int(numbers[place])) if is_done(place) else "",
            look,
            cell.place,
            rank=0 if channel == cell.channel else OTHER_OUTPUT if channel in group else OTHER_GROUP,
        )


def _rank(cell: Cell, channel: int, group: range) -> int:
    """Return how much a plane of an input channel is needed, or its weights: first those that the sum begins with."""
    if channel not in group:
        return OTHER_GROUP
    return FIRST_PAIR if channel == cell.terms[0].channel else SAME_GROUP
