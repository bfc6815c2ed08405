"""Which parameters map one size to another: all of them, within bounds, the simplest first.

Along one axis, for a kernel k, stride s, padding p, dilation d and output_padding o within :data:`BOUNDS`:

    convolution             ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1 = P
    transposed convolution  (H − 1)·s − 2·p + d·(k − 1) + o + 1 = P

Padding is at most d·(k − 1), half a window on either side and more: beyond that, outputs see nothing but padding. Simplest
first means: no gaps (inputs that are skipped, outputs that nothing is added to), no dilation, no output_padding, a small
kernel, little padding, a small stride, in this order.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from trainloop.explain_conv.overlap import phase_counts, unreached
from trainloop.manual.windows import Sizes


class Bounds(NamedTuple):
    """The largest number of each parameter; the smallest is 1, of paddings 0."""

    kernel_size: int
    stride: int
    dilation: int


BOUNDS = Bounds(kernel_size=11, stride=8, dilation=4)


class Parameters(NamedTuple):
    """The numbers of a module along one axis, or the same along both."""

    kernel_size: int
    stride: int
    padding: int
    dilation: int
    output_padding: int

    @property
    def simplicity(self) -> tuple[int, ...]:
        """By which solutions are sorted."""
        numbers = (self.dilation, self.output_padding, self.kernel_size, self.padding, self.stride)
        return (self.leaves_gaps, *numbers)

    @property
    def leaves_gaps(self) -> bool:
        """Whether a convolution skips input elements between those it reads, a transposed one leaves outputs unwritten."""
        counts = phase_counts(self.kernel_size, self.stride, self.dilation)
        return min(counts) == 0 or unreached(self.padding, self.output_padding) > 0


@dataclass(frozen=True)
class Solved:
    """What maps one size to another.

    Args:
        input_sizes: one or two numbers.
        output_sizes: as many.
        transposed: by transposed convolutions.
        bounds: within which everything was tried.
        tried: how many combinations there are within them.
        solutions: the same numbers along each axis, the simplest first.
        per_axis: the solutions of each axis on its own, where two axes have none in common; else empty.
        reachable: where an axis has none at all, the nearest output sizes that there are (at most one smaller and one larger).
    """

    input_sizes: Sizes
    output_sizes: Sizes
    transposed: bool
    bounds: Bounds
    tried: int
    solutions: tuple[Parameters, ...]
    per_axis: tuple[tuple[Parameters, ...], ...]
    reachable: dict[int, tuple[int, ...]]


def solve(input_sizes: Sizes, output_sizes: Sizes, *, transposed: bool) -> Solved:
    """Find every combination of parameters within the bounds that maps one size to another.

    Args:
        input_sizes: one or two numbers, from 1 on.
        output_sizes: as many.
        transposed: by transposed convolutions.
    """
    axes = [
        solve_axis(size, wanted, transposed=transposed) for size, wanted in zip(input_sizes, output_sizes, strict=True)
    ]
    others = [set(axis) for axis in axes[1:]]
    common = tuple(found for found in axes[0] if all(found in other for other in others))
    return Solved(
        input_sizes=input_sizes,
        output_sizes=output_sizes,
        transposed=transposed,
        bounds=BOUNDS,
        tried=len(_combinations(transposed)),
        solutions=common,
        per_axis=() if common or len(axes) == 1 else tuple(map(tuple, axes)),
        reachable={
            axis: _nearest_sizes(input_sizes[axis], output_sizes[axis], transposed)
            for axis, found in enumerate(axes)
            if not found
        },
    )


def solve_axis(size: int, wanted: int, *, transposed: bool) -> list[Parameters]:
    """Return every solution along one axis, the simplest first.

    Args:
        size: of the input.
        wanted: of the output.
        transposed: by transposed convolutions.
    """
    found = (numbers for numbers in _combinations(transposed) if output_size(size, numbers, transposed) == wanted)
    return sorted(found, key=lambda numbers: numbers.simplicity)


def output_size(size: int, numbers: Parameters, transposed: bool) -> int:
    """Return the output's size along one axis; below 1 where there is none.

    Args:
        size: of the input.
        numbers: of the module.
        transposed: of which kind it is.
    """
    kernel, stride, padding, dilation, more = numbers
    reach = dilation * (kernel - 1)
    if transposed:
        return (size - 1) * stride - 2 * padding + reach + more + 1
    return (size + 2 * padding - reach - 1) // stride + 1


@functools.cache
def _combinations(transposed: bool) -> tuple[Parameters, ...]:
    """Return everything within the bounds; a kernel of one tap has no dilation, or every one, which is the same."""
    return tuple(
        Parameters(kernel, stride, padding, dilation, more)
        for kernel in range(1, BOUNDS.kernel_size + 1)
        for dilation in range(1, (BOUNDS.dilation if kernel > 1 else 1) + 1)
        for stride in range(1, BOUNDS.stride + 1)
        for padding in range(dilation * (kernel - 1) + 1)
        for more in range(max(stride, dilation) if transposed else 1)
    )


def _nearest_sizes(size: int, wanted: int, transposed: bool) -> tuple[int, ...]:
    reachable = {output_size(size, numbers, transposed) for numbers in _combinations(transposed)}
    below = [other for other in reachable if 1 <= other < wanted]
    above = [other for other in reachable if other > wanted]
    return (*([max(below)] if below else []), *([min(above)] if above else []))
