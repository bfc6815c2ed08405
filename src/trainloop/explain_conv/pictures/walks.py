"""The ways through an explanation, step by step: a window that slides, or stamps that add up.

Each step is a frame of planes; the terminal and the pictures draw the same ones. Nothing but the running sum of the stamps is
computed here. It ends in the scatter view's own array, and with the bias, where there is one, in the output.
"""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from trainloop.explain_conv.explain import Values
from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.pictures.planes import SCATTER, Frame
from trainloop.explain_conv.pictures.stamps import StampFrames
from trainloop.explain_conv.pictures.windows import WindowFrames


class Frames(Protocol):
    """Makes the frame of one place."""

    def frame(self, channel: int, place: tuple[int, int], title: str, done: int) -> Frame:
        """Return the frame.

        Args:
            channel: of the output, of a scatter of the input.
            place: (row, column) there.
            title: which step.
            done: how many steps are done with this one, channel by channel and row by row.
        """
        ...


class Walk:
    """All steps of one view: through the outputs for a sliding window, through the input for stamps.

    Args:
        explanation: the whole.
        view: gather, scatter or zero_insert; nothing for the first one of the explanation.
    """

    def __init__(self, explanation: Explanation, view: str = "") -> None:
        self.explanation = explanation
        self.view: View = next(one for one in explanation.views if one.name == (view or explanation.views[0].name))
        stamps = self.view.name == SCATTER
        plane: Tensor = explanation.input if stamps else explanation.output
        self._rows, self._columns = plane.shape[1:]
        self._count = math.prod(plane.shape)
        self._stamps = StampFrames(explanation, self.view) if stamps else None
        self._frames: Frames = self._stamps or WindowFrames(explanation, self.view, Values(explanation.problem))

    def __len__(self) -> int:
        """One step for each place; of stamps one more where a bias is added to all of them."""
        return self._count + (self._stamps is not None and self.explanation.problem.bias)

    @property
    def start(self) -> int:
        """The step of the explanation's own cell, or of its pixel."""
        at = self.explanation.pixel if self.view.name == SCATTER else self.explanation.cell
        return (at.channel * self._rows + at.place[0]) * self._columns + at.place[1]

    def frame(self, step: int) -> Frame:
        """Return a step.

        Args:
            step: from 0 on.
        """
        title = f"{self.view.name}, step {step + 1:,} of {len(self):,}"
        if self._stamps and step == self._count:
            return self._stamps.with_bias(title)
        row, column = divmod(step, self._columns)
        channel, row = divmod(row, self._rows)
        return self._frames.frame(channel, (row, column), title, step + 1)

    def whole(self) -> Frame:
        """Return the frame of the explanation's own cell or pixel with everything computed."""
        at = self.explanation.pixel if self.view.name == SCATTER else self.explanation.cell
        return self._frames.frame(at.channel, at.place, self.view.name, self._count)
