"""The last step of stamps: the bias is added to all of them, and what is left is the output."""

from __future__ import annotations

from collections.abc import Mapping

from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.pictures.planes import CHOSEN, CUT, DONE, Frame, Place, Plane
from trainloop.explain_conv.pictures.windows import (
    FIRST_PAIR,
    OTHER_OUTPUT,
    SAME_GROUP,
    drawn_channels,
    group_channels,
    not_drawn,
)
from trainloop.explain_conv.words.names import channel_title


def bias_frame(explanation: Explanation, view: View, title: str, inputs: Mapping[int, Plane]) -> Frame:
    """Return the frame.

    Args:
        explanation: the whole.
        view: scatter.
        title: which step.
        inputs: planes of the input channels that are drawn, by channel, in order.
    """
    problem, first = explanation.problem, explanation.cell.channel
    _, outputs = group_channels(problem, first // (problem.out_channels // problem.groups))
    shown = drawn_channels(problem.out_channels, outputs, first)
    names = {one: f"output[{one}]" if problem.out_channels > 1 else "output" for one in shown}
    sums = [f"{name} = stamps + {int(explanation.bias[one])} (bias)" for one, name in names.items()]
    channels = range(min(inputs), max(inputs) + 1)
    return Frame(
        f"{title}: plus the bias",
        (
            tuple(inputs.values()),
            tuple(_bias(explanation, one) for one in shown),
            tuple(_output(explanation, view, one) for one in shown),
        ),
        ("", "⊕"),
        f"{', '.join(sums)}{not_drawn(explanation, channels, shown)}",
    )


def is_kept(explanation: Explanation, view: View, place: Place) -> bool:
    """Whether a place of all stamps added up is part of the output.

    Args:
        explanation: the whole.
        view: scatter.
        place: counted from the first stamp on.
    """
    sizes = explanation.output_sizes
    return all(0 <= at - start < size for at, start, size in zip(place, view.offset, sizes, strict=True))


def _bias(explanation: Explanation, channel: int) -> Plane:
    bias, problem = str(int(explanation.bias[channel])), explanation.problem
    return Plane(
        "weight",
        f"bias[{channel}]" if problem.out_channels > 1 else "bias",
        (1, 1),
        lambda _: bias,
        lambda _: CHOSEN,
        (0, 0),
        rank=FIRST_PAIR if channel == explanation.cell.channel else SAME_GROUP,
        # As much as the stamps of the steps before, so that the output stands still.
        room=(problem.kernel_size[0], problem.kernel_size[1]),
    )


def _output(explanation: Explanation, view: View, channel: int) -> Plane:
    """Return the output where all stamps lay; nothing is left of what padding cuts off."""
    numbers, (top, left) = explanation.output[channel], view.offset
    sizes, cell = view.arrays["uncropped"].shape[1:], explanation.cell
    name = channel_title("output", channel, explanation.problem.out_channels)
    return Plane(
        "output",
        f"{name}, with the bias {int(explanation.bias[channel])}",
        (sizes[0], sizes[1]),
        lambda at: str(int(numbers[at[0] - top, at[1] - left])) if is_kept(explanation, view, at) else "",
        lambda at: DONE if is_kept(explanation, view, at) else CUT,
        (cell.place[0] + top, cell.place[1] + left),
        (-top, -left),
        rank=0 if channel == cell.channel else OTHER_OUTPUT,
    )
