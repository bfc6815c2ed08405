"""Along one axis: which taps make an output, and which outputs an input element reaches.

A convolution of a plane is made of its two axes: the taps of the output (p, q) are all pairs of a tap of p along H and a tap
of q along W. So these short lists are the whole truth about where everything comes from.

    convolution             output p, tap k  →  at = p · stride + k · dilation − padding      of the input
    transposed convolution  output p, tap k  →  at = p + padding − k · dilation               of the spread input

The spread input has its element h at h · stride, and zeros in between. So there the tap meets an input element where
``at`` is divisible by the stride, and lies within the input.
"""

from __future__ import annotations

from typing import NamedTuple

from trainloop.explain_conv.problem import AXES, Problem

INPUT, PADDING, INSERTED = "input", "padding", "inserted"
"""where a tap falls: on an element, outside the input, on a zero between two elements"""


class Tap(NamedTuple):
    """One tap of an output along one axis.

    Args:
        tap: index in the kernel.
        at: place on the input (of a transposed convolution on the spread input), 0 for its first element.
        source: index of the input element that is read; None where a zero is.
        kind: input, padding (which may read an element all the same, in a padding mode other than zeros) or inserted.
    """

    tap: int
    at: int
    source: int | None
    kind: str


class Touch(NamedTuple):
    """One output that an input element goes into along one axis.

    Args:
        output: index of the output.
        tap: index in the kernel.
    """

    output: int
    tap: int


Taps = tuple[tuple[Tap, ...], ...]
Reach = tuple[tuple[Touch, ...], ...]


class AxisNumbers(NamedTuple):
    """A problem along one axis.

    Args:
        name: H or W.
        input_size: number of input elements.
        output_size: number of outputs.
        kernel_size: number of taps.
        stride: of the windows or stamps.
        padding: before the first element.
        padding_after: behind the last.
        dilation: distance of the taps.
        output_padding: of a transposed convolution.
        padding_mode: zeros, reflect, replicate or circular.
        transposed: whether it is a transposed convolution.
    """

    name: str
    input_size: int
    output_size: int
    kernel_size: int
    stride: int
    padding: int
    padding_after: int
    dilation: int
    output_padding: int
    padding_mode: str
    transposed: bool

    @property
    def extent(self) -> int:
        """How far a window or a stamp reaches: d · (k − 1) + 1."""
        return self.dilation * (self.kernel_size - 1) + 1


def axis_numbers(problem: Problem, axis: int) -> AxisNumbers:
    """Return a problem along one axis.

    Args:
        problem: any that has been checked.
        axis: 0 for H, 1 for W.
    """
    return AxisNumbers(
        AXES[axis],
        problem.input_sizes[axis],
        problem.output_sizes[axis],
        problem.kernel_size[axis],
        problem.stride[axis],
        problem.padding[axis],
        problem.padding_after[axis],
        problem.dilation[axis],
        problem.output_padding[axis],
        problem.padding_mode,
        problem.transposed,
    )


def all_taps(axis: AxisNumbers) -> Taps:
    """Return the taps of each output, in the order of the kernel."""
    find = _transposed_tap if axis.transposed else _tap
    return tuple(
        tuple(find(axis, output, tap) for tap in range(axis.kernel_size)) for output in range(axis.output_size)
    )


def all_reach(axis: AxisNumbers, taps: Taps) -> Reach:
    """Return for each input element the outputs that it goes into, in their order."""
    reach: list[list[Touch]] = [[] for _ in range(axis.input_size)]
    for output, row in enumerate(taps):
        for tap in row:
            if tap.source is not None:
                reach[tap.source].append(Touch(output, tap.tap))
    return tuple(map(tuple, reach))


def border_source(at: int, size: int, mode: str) -> int | None:
    """Return which element a place outside the input shows; None for a zero.

    Args:
        at: below 0 or from ``size`` on.
        size: of the input.
        mode: zeros, reflect (without the edge itself), replicate or circular.
    """
    if mode == "reflect":
        return -at if at < 0 else 2 * (size - 1) - at
    if mode == "replicate":
        return 0 if at < 0 else size - 1
    return at % size if mode == "circular" else None


def _tap(axis: AxisNumbers, output: int, tap: int) -> Tap:
    at = output * axis.stride + tap * axis.dilation - axis.padding
    if 0 <= at < axis.input_size:
        return Tap(tap, at, at, INPUT)
    return Tap(tap, at, border_source(at, axis.input_size, axis.padding_mode), PADDING)


def _transposed_tap(axis: AxisNumbers, output: int, tap: int) -> Tap:
    at = output + axis.padding - tap * axis.dilation
    if not 0 <= at <= (axis.input_size - 1) * axis.stride:
        return Tap(tap, at, None, PADDING)
    source, rest = divmod(at, axis.stride)
    return Tap(tap, at, None, INSERTED) if rest else Tap(tap, at, source, INPUT)
