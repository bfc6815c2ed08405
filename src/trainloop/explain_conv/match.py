"""The module that undoes the shape of another: to each convolution a transposed one with the same numbers, and back.

    H = ⌊(P + 2·p − d·(k − 1) − 1) / s⌋ + 1    is undone by    output_padding = (P + 2·p − d·(k − 1) − 1) mod s

It undoes the shape, not the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainloop.explain_conv.axis import AxisNumbers, axis_numbers
from trainloop.explain_conv.problem import SAME, Problem
from trainloop.manual.conv.padding import ZEROS
from trainloop.manual.errors import ConvShapeError


@dataclass(frozen=True)
class Match:
    """Another module that leads from the output's size back to the input's.

    Args:
        text: the module that is undone.
        input_sizes: of it.
        output_sizes: of it.
        answer: the module that undoes its shape; empty where there is none with these numbers.
        reason: why there is none; else empty.
        residues: for each axis, which output_padding belongs to which input sizes: (size mod stride, output_padding) each;
            empty for a stride of 1 and where the answer is a convolution.
    """

    text: str
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    answer: str
    reason: str
    residues: tuple[tuple[tuple[int, int], ...], ...]


def match(problem: Problem) -> Match:
    """Return the module that undoes the shape of another.

    Args:
        problem: that has been checked.
    """
    axes = [axis_numbers(problem, axis) for axis in problem.axes]
    back = _convolution_of(problem) if problem.transposed else _transposed_of(problem, axes)
    reason = _why_not(problem, back)
    return Match(
        text=problem.text,
        input_sizes=problem.own(problem.input_sizes),
        output_sizes=problem.own(problem.output_sizes),
        answer="" if reason else back.text,
        reason=reason,
        residues=() if problem.transposed or reason else tuple(map(_residues, axes)),
    )


def _turned(problem: Problem) -> Problem:
    """Return the other kind of module with the same numbers, its channels exchanged, and the output as its input."""
    dimensions = f"{problem.num_axes}d"
    return problem.replaced(
        module=("Conv" if problem.transposed else "ConvTranspose") + dimensions,
        in_channels=problem.out_channels,
        out_channels=problem.in_channels,
        input_sizes=problem.output_sizes,
        output_padding=(0, 0),
        padding_mode=ZEROS,
        padding_word="",
    )


def _convolution_of(problem: Problem) -> Problem:
    return _turned(problem)


def _transposed_of(problem: Problem, axes: list[AxisNumbers]) -> Problem:
    """Return the transposed convolution; "same" with one element more at the end is undone by padding one more, if at all."""
    left_over = [_left_over(axis) for axis in axes]
    padding = tuple(max(pair) for pair in zip(problem.padding, problem.padding_after, strict=True))
    uneven = [after - before for before, after in zip(problem.padding, problem.padding_after, strict=True)]
    own = [rest + odd for rest, odd in zip(left_over, problem.own(tuple(uneven)), strict=True)]
    output_padding = (0, *own) if problem.num_axes == 1 else tuple(own)
    return _turned(problem).replaced(padding=padding, padding_after=padding, output_padding=output_padding)


def _left_over(axis: AxisNumbers) -> int:
    return (axis.input_size + axis.padding + axis.padding_after - axis.extent) % axis.stride


def _residues(axis: AxisNumbers) -> tuple[tuple[int, int], ...]:
    if axis.stride == 1:
        return ()
    shift = axis.padding + axis.padding_after - axis.extent
    return tuple((rest, (rest + shift) % axis.stride) for rest in range(axis.stride))


def _why_not(problem: Problem, back: Problem) -> str:
    """Return why a module does not undo the shape of another; empty where it does."""
    try:
        back.check()
    except ConvShapeError as error:
        if problem.padding_word == SAME and problem.padding != problem.padding_after:
            return (
                "padding='same' of an even kernel adds one element more behind than before, and the padding of a transposed "
                "convolution cuts the same off both ends"
            )
        return str(error).partition("; ")[0]
    if back.output_sizes != problem.input_sizes:
        sizes = "x".join(map(str, problem.own(back.output_sizes)))
        return f"output_padding is as large as the stride, so {back.text} has more positions: it leads back to {sizes}"
    return ""
