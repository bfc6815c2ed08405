"""Frames of the scatter view: every input element stamps the kernel, and the stamps add up."""

from __future__ import annotations

from torch import Tensor

from trainloop.explain_conv.explanation import Cell, Explanation, View
from trainloop.explain_conv.pictures.planes import (
    CHOSEN,
    CUT,
    DONE,
    INPUT,
    LOST,
    OTHER,
    READ,
    TAP,
    UNREAD,
    WAITING,
    Frame,
    Place,
    Plane,
)
from trainloop.explain_conv.pictures.windows import MOST_CHANNELS, channel_title, never_read, not_drawn
from trainloop.explain_conv.screen.layout import window
from trainloop.explain_conv.screen.words import named_place, sum_text


class StampFrames:
    """The frames of the scatter view of a transposed convolution.

    Args:
        explanation: the whole.
        view: scatter.
    """

    def __init__(self, explanation: Explanation, view: View) -> None:
        self._explanation, self._view = explanation, view
        self._sum = view.arrays["uncropped"].clone().zero_()
        self._written = self._sum.clone()
        self._done = 0

    def frame(self, channel: int, place: Place, title: str, done: int) -> Frame:
        """Return the frame of an input element; see ``walks.Frames``."""
        explanation = self._explanation
        problem = explanation.problem
        self._add_up(done)
        outputs = self._outputs_of(channel)
        shown = window(problem.out_channels, MOST_CHANNELS, outputs[0])
        inputs = window(problem.in_channels, MOST_CHANNELS, channel)
        value = int(explanation.input[channel][place])
        name = named_place(explanation, "input", place, channel, problem.in_channels)
        starts = tuple(at * s - p for at, s, p in zip(place, problem.stride, problem.padding, strict=True))
        return Frame(
            f"{title}: {name} = {value}",
            (
                tuple(self._input(channel, {place: CHOSEN}, one) for one in inputs),
                tuple(self._stamp(channel, value, one) for one in shown if one in outputs),
                tuple(self._added(one, self._stamped(place) if one in outputs else {}, place) for one in shown),
            ),
            ("→", "⊕"),
            f"{name} = {value} times the kernel, added {_from(problem.own(starts))}{not_drawn(explanation, inputs, shown)}",
        )

    def of_cell(self, cell: Cell) -> Frame:
        """Return the frame of an output: which elements and taps went into it, with all stamps added up."""
        explanation = self._explanation
        problem = explanation.problem
        self._add_up(explanation.input.numel())
        group = sorted({term.channel for term in cell.terms})
        shown = window(problem.in_channels, MOST_CHANNELS, group[0])
        read = [term for term in cell.terms if term.source is not None]
        outputs = window(problem.out_channels, MOST_CHANNELS, cell.channel)
        here = tuple(at + start for at, start in zip(cell.place, self._view.offset, strict=True))
        name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
        added = [
            self._added(one, {(here[0], here[1]): CHOSEN} if one == cell.channel else {}, (0, 0), here)
            for one in outputs
        ]
        return Frame(
            f"scatter: the stamps that meet in {name}",
            (
                tuple(
                    self._input(cell.terms[0].channel, {t.source: READ for t in read if t.channel == c and t.source}, c)
                    for c in shown
                ),
                tuple(
                    self._weights(c, cell.channel, {t.tap for t in read if t.channel == c}) for c in shown if c in group
                ),
                tuple(added),
            ),
            ("→", "⊕"),
            f"{name} = {sum_text(cell, problem.bias)}{not_drawn(explanation, shown, outputs)}",
        )

    def _add_up(self, done: int) -> None:
        """Bring the sum to a number of stamps; those before it are added again where it goes back.

        A frame reads only the numbers that are drawn, and brings the sum to its own step before each: a large sum is not
        copied for every frame, and frames may be drawn in any order.
        """
        if done < self._done:
            self._sum.zero_()
            self._written.zero_()
            self._done = 0
        rows, columns = self._explanation.input.shape[1:]
        for step in range(self._done, done):
            row, column = divmod(step, columns)
            channel, row = divmod(row, rows)
            outputs = self._outputs_of(channel)
            down, across = (self._slice(at, axis) for axis, at in enumerate((row, column)))
            part = (slice(outputs.start, outputs.stop), down, across)
            self._sum[part] += self._explanation.input[channel, row, column] * self._explanation.weight[channel]
            self._written[part] += 1
        self._done = done

    def _slice(self, at: int, axis: int) -> slice:
        problem = self._explanation.problem
        start, dilation = at * problem.stride[axis], problem.dilation[axis]
        return slice(start, start + dilation * (problem.kernel_size[axis] - 1) + 1, dilation)

    def _outputs_of(self, channel: int) -> range:
        """Return the output channels that an input channel goes into."""
        problem = self._explanation.problem
        per_group = problem.out_channels // problem.groups
        group = channel // (problem.in_channels // problem.groups)
        return range(group * per_group, (group + 1) * per_group)

    def _input(self, chosen: int, marks: dict[Place, str], channel: int) -> Plane:
        explanation = self._explanation
        problem = explanation.problem
        numbers = explanation.input[channel]
        other = self._outputs_of(channel) != self._outputs_of(chosen)
        mine = {place: mark for place, mark in marks.items() if mark != CHOSEN or channel == chosen}

        def look(place: Place) -> str:
            plain = OTHER if other else UNREAD if never_read(explanation, place) else INPUT
            return mine.get(place, plain)

        focus = next(iter(mine), (0, 0))
        title = channel_title("input", channel, problem.in_channels)
        sizes = (problem.input_sizes[0], problem.input_sizes[1])
        return Plane("input", title, sizes, lambda place: str(int(numbers[place])), look, focus)

    def _stamp(self, channel: int, value: int, output: int) -> Plane:
        stamp = (value * self._kernel(channel, output)).tolist()
        title = channel_title(f"{value} · weight", output, self._explanation.problem.out_channels)
        rows, columns = len(stamp), len(stamp[0])
        middle = (rows // 2, columns // 2)
        return Plane(
            "weight", title, (rows, columns), lambda place: str(stamp[place[0]][place[1]]), lambda _: READ, middle
        )

    def _weights(self, channel: int, output: int, read: set[Place]) -> Plane:
        numbers = self._kernel(channel, output).tolist()
        rows, columns = len(numbers), len(numbers[0])
        return Plane(
            "weight",
            channel_title("weight", channel, self._explanation.problem.in_channels),
            (rows, columns),
            lambda place: str(numbers[place[0]][place[1]]),
            lambda place: READ if place in read else TAP,
            (rows // 2, columns // 2),
        )

    def _kernel(self, channel: int, output: int) -> Tensor:
        problem = self._explanation.problem
        return self._explanation.weight[channel, output % (problem.out_channels // problem.groups)]

    def _stamped(self, place: Place) -> dict[Place, str]:
        """Return where a stamp falls, on the uncropped sum."""
        sizes = self._sum.shape[1:]
        down, across = (range(sizes[axis])[self._slice(at, axis)] for axis, at in enumerate(place))
        return {(r, c): READ if self._kept((r, c)) else LOST for r in down for c in across}

    def _kept(self, place: Place) -> bool:
        """Whether a place of the uncropped sum is part of the output."""
        sizes = self._explanation.output_sizes
        return all(0 <= at - start < size for at, start, size in zip(place, self._view.offset, sizes, strict=True))

    def _added(self, channel: int, marks: dict[Place, str], place: Place, focus: tuple[int, ...] = ()) -> Plane:
        numbers, written, done = self._sum[channel], self._written[channel], self._done
        stride, (top, left) = self._explanation.problem.stride, self._view.offset

        def look(at: Place) -> str:
            if at in marks:
                return marks[at]
            if not self._kept(at):
                return CUT
            self._add_up(done)
            return DONE if written[at] else WAITING

        def number(at: Place) -> str:
            self._add_up(done)
            return str(int(numbers[at])) if written[at] else ""

        middle = focus or tuple(at * step for at, step in zip(place, stride, strict=True))
        bias = int(self._explanation.bias[channel])
        title = channel_title("stamps added up", channel, self._explanation.problem.out_channels)
        return Plane(
            "output",
            title + (f", bias {bias} not yet" if bias else ""),
            (numbers.shape[0], numbers.shape[1]),
            number,
            look,
            (middle[0], middle[1]),
            (-top, -left),
        )


def _from(starts: tuple[int, ...]) -> str:
    """Return where a stamp begins, in words."""
    if len(starts) == 1:
        return f"from column {starts[0]} on"
    return f"from row {starts[0]}, column {starts[1]} on"
