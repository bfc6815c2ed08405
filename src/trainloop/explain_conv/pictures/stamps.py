"""Frames of the scatter view: every input element stamps the kernel, and the stamps add up."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from trainloop.explain_conv.explanation import Cell, Explanation, Term, View
from trainloop.explain_conv.pictures.bias import bias_frame, is_kept
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
from trainloop.explain_conv.pictures.stamp_words import apart, begins, letters_of, stamps_text
from trainloop.explain_conv.pictures.windows import (
    FIRST_PAIR,
    OTHER_GROUP,
    OTHER_OUTPUT,
    SAME_GROUP,
    drawn_channels,
    group_channels,
    never_read,
    not_drawn,
)
from trainloop.explain_conv.words.names import channel_title, named_place, weight_name


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
        group, outputs = self._group_of(channel)
        first = explanation.cell.channel if explanation.cell.channel in outputs else outputs[0]
        shown = drawn_channels(problem.out_channels, outputs, first)
        inputs = drawn_channels(problem.in_channels, group, channel)
        value = int(explanation.input[channel][place])
        name = named_place(explanation, "input", place, channel, problem.in_channels)
        starts = tuple(at * s - p for at, s, p in zip(place, problem.stride, problem.padding, strict=True))
        return Frame(
            f"{title}: {name} = {value}",
            (
                tuple(self._input(channel, {place: CHOSEN}, one) for one in inputs),
                tuple(self._stamp(channel, value, one, first) for one in shown if one in outputs),
                tuple(
                    self._added(one, self._stamped(place) if one in outputs else {}, self._middle(place), first)
                    for one in shown
                ),
            ),
            ("→", "⊕"),
            f"{name} = {value} times the kernel, added {begins(problem.own(starts))}{apart(problem)}"
            f"{not_drawn(explanation, inputs, shown)}",
        )

    def of_cell(self, cell: Cell) -> Frame:
        """Return the frame of an output: which elements and taps went into it, with all stamps added up."""
        explanation = self._explanation
        problem = explanation.problem
        self._add_up(explanation.input.numel())
        group, made = self._group_of(cell.terms[0].channel)
        shown = drawn_channels(problem.in_channels, group, group.start)
        read = [term for term in cell.terms if term.source is not None]
        outputs = drawn_channels(problem.out_channels, made, cell.channel)
        here = (cell.place[0] + self._view.offset[0], cell.place[1] + self._view.offset[1])
        letters = letters_of([term for term in read if term.channel in shown])
        name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
        added = [self._added(one, {here: CHOSEN} if one == cell.channel else {}, here, cell.channel) for one in outputs]
        return Frame(
            f"scatter: the stamps that meet in {name}",
            (
                tuple(self._read_input(cell, read, c, letters) for c in shown),
                tuple(self._weights(cell, read, c, letters) for c in shown if c in group),
                tuple(added),
            ),
            ("→", "⊕"),
            f"{name} = {stamps_text(cell, problem.bias)}{not_drawn(explanation, shown, outputs)}",
        )

    def with_bias(self, title: str) -> Frame:
        """Return the frame in which the bias is added to all stamps; see ``bias.py``.

        Args:
            title: which step.
        """
        explanation = self._explanation
        group, _ = self._group_of(explanation.cell.terms[0].channel)
        inputs = drawn_channels(explanation.problem.in_channels, group, group.start)
        return bias_frame(explanation, self._view, title, {one: self._input(one, {}, one) for one in inputs})

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
            _, outputs = self._group_of(channel)
            down, across = (self._slice(at, axis) for axis, at in enumerate((row, column)))
            part = (slice(outputs.start, outputs.stop), down, across)
            self._sum[part] += self._explanation.input[channel, row, column] * self._explanation.weight[channel]
            self._written[part] += 1
        self._done = done

    def _slice(self, at: int, axis: int) -> slice:
        problem = self._explanation.problem
        start, dilation = at * problem.stride[axis], problem.dilation[axis]
        return slice(start, start + dilation * (problem.kernel_size[axis] - 1) + 1, dilation)

    def _group_of(self, channel: int) -> tuple[range, range]:
        """Return the input and the output channels of the group that an input channel is in."""
        problem = self._explanation.problem
        return group_channels(problem, channel // (problem.in_channels // problem.groups))

    def _read_input(self, cell: Cell, read: list[Term], channel: int, letters: dict[tuple[int, Place], str]) -> Plane:
        own = {term.source: letters.get((channel, term.tap), "") for term in read if term.channel == channel}
        marks = {place: READ for place in own if place is not None}
        plane = self._input(cell.terms[0].channel, marks, channel)
        return dataclasses.replace(plane, letter=lambda place: own.get(place, ""))

    def _input(self, chosen: int, marks: dict[Place, str], channel: int) -> Plane:
        explanation = self._explanation
        problem = explanation.problem
        numbers = explanation.input[channel]
        other = self._group_of(channel) != self._group_of(chosen)
        mine = {place: mark for place, mark in marks.items() if mark != CHOSEN or channel == chosen}

        def look(place: Place) -> str:
            plain = OTHER if other else UNREAD if never_read(explanation, place) else INPUT
            return mine.get(place, plain)

        focus = next(iter(mine), (0, 0))
        title = channel_title("input", channel, problem.in_channels)
        sizes = (problem.input_sizes[0], problem.input_sizes[1])
        rank = OTHER_GROUP if other else FIRST_PAIR if channel == chosen else SAME_GROUP
        return Plane("input", title, sizes, lambda place: str(int(numbers[place])), look, focus, rank=rank)

    def _stamp(self, channel: int, value: int, output: int, first: int) -> Plane:
        stamp = (value * self._kernel(channel, output)).tolist()
        title = f"{value} · {weight_name(self._explanation.problem, channel, output)}"
        rows, columns = len(stamp), len(stamp[0])
        middle = (rows // 2, columns // 2)
        return Plane(
            "weight",
            title,
            (rows, columns),
            lambda place: str(stamp[place[0]][place[1]]),
            lambda _: READ,
            middle,
            rank=FIRST_PAIR if output == first else SAME_GROUP,
        )

    def _weights(self, cell: Cell, read: list[Term], channel: int, letters: dict[tuple[int, Place], str]) -> Plane:
        numbers = self._kernel(channel, cell.channel).tolist()
        rows, columns = len(numbers), len(numbers[0])
        taps = {term.tap for term in read if term.channel == channel}
        return Plane(
            "weight",
            weight_name(self._explanation.problem, channel, cell.channel),
            (rows, columns),
            lambda place: str(numbers[place[0]][place[1]]),
            lambda place: READ if place in taps else TAP,
            (rows // 2, columns // 2),
            letter=lambda place: letters.get((channel, place), ""),
        )

    def _kernel(self, channel: int, output: int) -> Tensor:
        return self._explanation.weight[self._explanation.problem.weight_index(channel, output)]

    def _stamped(self, place: Place) -> dict[Place, str]:
        """Return where a stamp falls, on the uncropped sum."""
        sizes = self._sum.shape[1:]
        down, across = (range(sizes[axis])[self._slice(at, axis)] for axis, at in enumerate(place))
        return {(r, c): READ if is_kept(self._explanation, self._view, (r, c)) else LOST for r in down for c in across}

    def _middle(self, place: Place) -> Place:
        """Return where the stamp of an input element has its middle, on the uncropped sum."""
        down, across = (self._slice(at, axis) for axis, at in enumerate(place))
        return (down.start + down.stop - 1) // 2, (across.start + across.stop - 1) // 2

    def _added(self, channel: int, marks: dict[Place, str], focus: Place, first: int) -> Plane:
        numbers, written, done = self._sum[channel], self._written[channel], self._done
        top, left = self._view.offset
        other = not self._same_group(channel, first)

        def look(at: Place) -> str:
            if other:
                return OTHER
            if at in marks:
                return marks[at]
            if not is_kept(self._explanation, self._view, at):
                return CUT
            self._add_up(done)
            return DONE if written[at] else WAITING

        def number(at: Place) -> str:
            self._add_up(done)
            return str(int(numbers[at])) if written[at] else ""

        bias = int(self._explanation.bias[channel])
        title = channel_title("stamps added up", channel, self._explanation.problem.out_channels)
        return Plane(
            "output",
            title + (f", without the bias {bias}" if bias else ""),
            (numbers.shape[0], numbers.shape[1]),
            number,
            look,
            focus,
            (-top, -left),
            rank=0 if channel == first else OTHER_GROUP if other else OTHER_OUTPUT,
        )

    def _same_group(self, output: int, other: int) -> bool:
        per_group = self._explanation.problem.out_channels // self._explanation.problem.groups
        return output // per_group == other // per_group
