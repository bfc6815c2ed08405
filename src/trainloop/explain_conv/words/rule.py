"""The rule by which anyone finds by hand what makes a cell, with the numbers of the explained one put in."""

from __future__ import annotations

from trainloop.explain_conv.axis import INPUT
from trainloop.explain_conv.explanation import Axis, Explanation

MOST_MEETINGS = 6
"""of an axis that are written out"""


def rule_lines(explanation: Explanation) -> list[str]:
    """Return which input elements an output takes through which taps: the rule, then the explained cell's along each axis.

    i counts the input, t the kernel, y the output. A convolution reads the input at y·s + t·d − p; a transposed convolution is
    the same relation with input and output in each other's place, i·s + t·d − p = y.

    Args:
        explanation: the whole.
    """
    problem = explanation.problem
    line = "row " if problem.num_axes == 2 else ""
    before = "p" if problem.padding == problem.padding_after else "a"
    if problem.transposed:
        rule = f"input {line}i goes into output {line}y through kernel {line}t where i·s + t·d − p = y"
    else:
        rule = f"output {line}y reads input {line}i through kernel {line}t where i = y·s + t·d − {before}"
    rest = "Columns likewise; each such row with each such column is one product" if line else "Each is one product"
    bias = " Then the bias is added." if problem.bias else ""
    lines = [f"By hand: {rule}. {rest}{_channels(explanation)}.{bias}"]
    for axis in (explanation.axes[number] for number in problem.axes):
        name = {"H": "row", "W": "column"}[axis.name] if line else "output"
        place = explanation.cell.place["HW".index(axis.name)]
        lines.append(f"{name} {place}: {_meetings(explanation, axis, place)}")
    return lines


def _channels(explanation: Explanation) -> str:
    """Return which input channels the products are of; nothing where there is one."""
    channels = list(dict.fromkeys(term.channel for term in explanation.cell.terms))
    if explanation.problem.in_channels == 1:
        return ""
    if len(channels) == 1:
        return f", of input channel {channels[0]}"
    return f", in each of the input channels {channels[0]} to {channels[-1]}"


def _meetings(explanation: Explanation, axis: Axis, place: int) -> str:
    """Return the sums of those taps of an output that meet an element, in padding too where that repeats one, along an axis."""
    problem, number = explanation.problem, "HW".index(axis.name)
    stride, dilation, padding = problem.stride[number], problem.dilation[number], problem.padding[number]
    met = [tap for tap in axis.taps[place] if tap.source is not None]
    sums = []
    for tap in met[:MOST_MEETINGS]:
        start, end = (tap.source, place) if problem.transposed else (place, tap.at)
        shows = "" if tap.kind == INPUT else f" (padding, which shows {tap.source})"
        sums.append(f"{start}·{stride} + {tap.tap}·{dilation} − {padding} = {end}".replace("= -", "= −") + shows)
    if len(met) > MOST_MEETINGS:
        sums.append(f"and {len(met) - MOST_MEETINGS} more")
    return ", ".join(sums) or "none"
