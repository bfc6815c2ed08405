"""How often each output is written, and why that can make a checkerboard.

The stamps of a transposed convolution lie ``stride`` apart, and their taps ``dilation`` apart. An output p is met by the taps k
with (p + padding − k·d) divisible by s, so how many they are depends on the phase (p + padding) mod s alone:

    all phases are met equally often  ⟺  d and s have no divisor in common, and s divides k

(With a common divisor g the taps of all stamps lie on every g-th output, and those between are never written.) The gradient
of a convolution's input is a transposed convolution, so a convolution reads its inputs in the same pattern.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from trainloop.explain_conv.axis import INPUT, AxisNumbers, Reach, Taps
from trainloop.explain_conv.explanation import Array, Overlap, Phases, Way
from trainloop.explain_conv.problem import Problem
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes

MOST_WAYS = 3
FURTHEST_KERNEL = 4
"""how far another kernel size may be away, in strides"""


def explain_overlap(problem: Problem, axes: tuple[AxisNumbers, AxisNumbers], counts: Array) -> Overlap:
    """Return the counts with their pattern.

    Args:
        problem: what is explained.
        axes: H and W.
        counts: as :func:`count_overlap` returns them.
    """
    phases = tuple(explain_phases(axes[axis]) for axis in problem.axes)
    least, most = (math.prod(pick(one.counts) for one in phases) for pick in (min, max))
    even = all(one.even for one in phases)
    ways = () if even or not problem.transposed else tuple(itertools.islice(_ways(problem), MOST_WAYS))
    return Overlap(counts, phases, 1 - least / most, ways)


def count_overlap(taps: tuple[Taps, Taps], reach: tuple[Reach, Reach], *, transposed: bool) -> Array:
    """Return how often each output is written, shape (P, Q), or each input read, (H, W).

    Args:
        taps: of H and of W.
        reach: likewise.
        transposed: whether it is a transposed convolution.
    """
    if transposed:
        down, across = ([sum(tap.kind == INPUT for tap in row) for row in axis] for axis in taps)
    else:
        down, across = ([len(touches) for touches in axis] for axis in reach)
    return torch.tensor(down).outer(torch.tensor(across))


def explain_phases(axis: AxisNumbers) -> Phases:
    """Return how many taps meet each phase of an axis.

    Args:
        axis: the numbers.
    """
    kernel, stride, dilation = axis.kernel_size, axis.stride, axis.dilation
    counts = phase_counts(kernel, stride, dilation)
    even = len(set(counts)) == 1
    return Phases(axis.name, stride, counts, even, _why(kernel, stride, dilation, axis.transposed))


def phase_counts(kernel: int, stride: int, dilation: int) -> tuple[int, ...]:
    """Return how many taps meet an output of each phase, far from the border.

    Args:
        kernel: number of taps.
        stride: of the stamps.
        dilation: distance of the taps.
    """
    counts = [0] * stride
    for tap in range(kernel):
        counts[tap * dilation % stride] += 1
    return tuple(counts)


def unreached(padding: int, output_padding: int) -> int:
    """Return how many outputs of a transposed convolution lie behind the last stamp, along an axis: only the bias is there.

    The stamps end at (H − 1)·s + d·(k − 1); the output ends ``output_padding − padding`` further on.

    Args:
        padding: that cuts outputs off.
        output_padding: that keeps some.
    """
    return max(0, output_padding - padding)


def _why(kernel: int, stride: int, dilation: int, transposed: bool) -> str:
    what = "output is written" if transposed else "input is read"
    shared = math.gcd(stride, dilation)
    if stride == 1:
        return f"stride 1: along the axis every {what} {_times(kernel)}"
    if shared > 1:
        return (
            f"stride {stride} and dilation {dilation} are both multiples of {shared}: the taps lie on every "
            f"{_ordinal(shared)} place only, and the places between are never {'written' if transposed else 'read'}"
        )
    whole, rest = divmod(kernel, stride)
    if rest == 0:
        return f"kernel {kernel} = {whole}·stride {stride}: along the axis every {what} {_times(whole)}"
    made, others = "written" if transposed else "read", stride - rest
    return (
        f"kernel {kernel} = {whole}·{stride} + {rest}: along the axis {rest} of every {stride} places "
        f"{'is' if rest == 1 else 'are'} {made} {_times(whole + 1)}, {others} {_times(whole)}"
    )


def _times(count: int) -> str:
    return ("never", "once", "twice")[count] if count < 3 else f"{count} times"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _ways(problem: Problem) -> Iterator[Way]:
    """Yield problems without the pattern and with the same output size, the nearest first."""
    per_axis = [_axis_ways(problem, axis) if axis in problem.axes else [_own_numbers(problem, axis)] for axis in (0, 1)]
    both = problem.num_axes == 2 and _own_numbers(problem, 0) == _own_numbers(problem, 1)
    square = both and problem.input_sizes[0] == problem.input_sizes[1] and problem.stride[0] == problem.stride[1]
    for kernels in sorted(itertools.product(*per_axis), key=lambda pair: _distance(problem, pair)):
        if square and kernels[0] != kernels[1]:
            continue  # what is alike along both axes stays so
        kernel_size, padding, output_padding, dilation = (tuple(numbers) for numbers in zip(*kernels, strict=True))
        other = problem.replaced(
            kernel_size=kernel_size,
            padding=padding,
            padding_after=padding,
            output_padding=output_padding,
            dilation=dilation,
        )
        try:
            other.check()
        except ConvShapeError:
            continue
        yield Way(other.text, _pair(other.output_sizes), _changes(problem, other))


Numbers = tuple[int, int, int, int]
"""(kernel_size, padding, output_padding, dilation) along one axis"""


def _own_numbers(problem: Problem, axis: int) -> Numbers:
    return (
        problem.kernel_size[axis],
        problem.padding[axis],
        problem.output_padding[axis],
        problem.dilation[axis],
    )


def _axis_ways(problem: Problem, axis: int) -> list[Numbers]:
    """Return kernel sizes that the stride divides, with the padding and output_padding that keep the output's size."""
    kernel, padding, output_padding, dilation = _own_numbers(problem, axis)
    stride = problem.stride[axis]
    if math.gcd(stride, dilation) == 1 and kernel % stride == 0:
        return [(kernel, padding, output_padding, dilation)]
    if math.gcd(stride, dilation) > 1:
        dilation = next(d for d in range(dilation - 1, 0, -1) if math.gcd(stride, d) == 1)
    wanted = problem.output_sizes[axis] - (problem.input_sizes[axis] - 1) * stride - 1
    found = []
    for multiple in range(1, kernel // stride + FURTHEST_KERNEL):
        reach = dilation * (multiple * stride - 1)
        for more in range(max(stride, dilation)):
            pad, rest = divmod(reach + more - wanted, 2)
            if rest == 0 and pad >= 0:
                found.append((multiple * stride, pad, more, dilation))
    # An output_padding above the padding keeps outputs behind the last stamp: no cure for uneven outputs.
    return [numbers for numbers in found if not unreached(numbers[1], numbers[2])] or found


def _distance(problem: Problem, pair: tuple[Numbers, ...]) -> tuple[int, ...]:
    """Return how far parameters are away: the kernel first, then the rest; of equals a larger kernel, which loses nothing."""
    own = [_own_numbers(problem, axis) for axis in (0, 1)]
    moved = [[abs(a - b) for a, b in zip(new, old, strict=True)] for new, old in zip(pair, own, strict=True)]
    return (
        sum(numbers[0] for numbers in moved),
        *(sum(numbers[i] for numbers in moved) for i in (3, 1, 2)),
        -sum(numbers[0] for numbers in pair),
    )


def _changes(before: Problem, after: Problem) -> dict[str, tuple[Sizes, Sizes]]:
    names = ("kernel_size", "padding", "output_padding", "dilation")
    pairs = {name: (before.own(getattr(before, name)), after.own(getattr(after, name))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _pair(sizes: Sizes) -> tuple[int, int]:
    return (sizes[0], sizes[1])
