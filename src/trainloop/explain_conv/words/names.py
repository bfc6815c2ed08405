"""What things are called: places, kernels, the problem, and what was compared with torch."""

from __future__ import annotations

from collections.abc import Sequence

from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.problem import Problem


def times(sizes: Sequence[int]) -> str:
    """Return (5, 5) as ``5×5``."""
    return "×".join(map(str, sizes))


def place_text(explanation: Explanation, place: tuple[int, int], channel: int | None = None) -> str:
    """Return a place as ``3,4``, in a row as ``4``; with the channel in front where there are several."""
    own = explanation.problem.own(place)
    return ",".join(map(str, own if channel is None else (channel, *own)))


def named_place(explanation: Explanation, name: str, place: tuple[int, int], channel: int, channels: int) -> str:
    """Return ``input[3,4]``, or ``input[0,3,4]`` where there are several channels."""
    return f"{name}[{place_text(explanation, place, channel if channels > 1 else None)}]"


def channel_title(name: str, channel: int, channels: int) -> str:
    """Return the title of a plane, with its channel where there are several."""
    return f"{name}, channel {channel} of {channels}" if channels > 1 else name


def weight_name(problem: Problem, channel: int, output: int) -> str:
    """Return what the kernel between two channels is called: its index in torch's weight where that holds several.

    Args:
        problem: whose.
        channel: of the input.
        output: channel of the output.
    """
    if problem.weight_shape[:2] == (1, 1):
        return "weight"
    first, second = problem.weight_index(channel, output)
    return f"weight[{first},{second}]"


def head(explanation: Explanation) -> str:
    """Return what is explained, in a line."""
    problem = explanation.problem
    sizes = [
        times((*([channels] if channels > 1 else []), *problem.own(pair)))
        for channels, pair in (
            (problem.in_channels, problem.input_sizes),
            (problem.out_channels, explanation.output_sizes),
        )
    ]
    return f"{explanation.text} · {sizes[0]} → {sizes[1]}"


def checked_text(explanation: Explanation) -> str:
    """Return what was compared with torch and what came of it."""
    bad = [check.what for check in explanation.checks if not check.same]
    names = ", ".join(check.what for check in explanation.checks)
    if bad:
        return f"checked against torch {explanation.torch_version}: NOT the same: {', '.join(bad)}"
    return f"checked against torch {explanation.torch_version}: same ({names})"
