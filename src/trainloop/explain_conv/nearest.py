"""The nearest numbers that fit together: what a message offers beside the rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from trainloop.explain_conv.problem import SAME, Problem
from trainloop.manual.conv.padding import REACHES
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import window_extent

FIELDS = ("output_padding", "padding", "kernel_size", "dilation", "stride", "input_sizes")
"""numbers of an axis, in the order in which a change of them is offered"""
COUNTS = ("groups", "in_channels", "out_channels")
LEAST = {"output_padding": 0, "padding": 0}
"""smallest value, where it is not 1"""
FURTHEST = 64
"""how far a number may move"""


def nearest_problem(problem: Problem) -> Problem | None:
    """Return the problem that fits after the change that the rule's help names, else after the smallest of one number.

    Numbers that are too small, an output_padding that is too large and the stride of padding="same" are mended first.

    Args:
        problem: whose numbers do not fit.
    """
    raised = _raised(problem)
    return next(filter(fits, itertools.chain((raised,), _advised(raised), _changed(raised))), None)


def _raised(problem: Problem) -> Problem:
    """Return the problem with every number that is too small at its smallest value, and with what has one choice only."""
    changes: dict[str, object] = {
        name: tuple(max(number, LEAST.get(name, 1)) for number in getattr(problem, name)) for name in FIELDS
    }
    reach = zip(problem.output_padding, problem.stride, problem.dilation, strict=True)
    changes["output_padding"] = tuple(min(max(more, 0), max(s, d, 1) - 1) for more, s, d in reach)
    changes |= {name: max(getattr(problem, name), 1) for name in COUNTS}
    if problem.padding_word == SAME:
        changes["stride"] = (1, 1)
    padding = changes["padding"] if problem.padding == problem.padding_after else problem.padding_after
    return problem.replaced(**changes, padding_after=padding)


def _advised(problem: Problem) -> Iterator[Problem]:
    """Yield the problem with a padding that fits along every axis, then with a kernel that does: the least change of each."""
    if not problem.padding_word:
        padding = tuple(_fitting_padding(problem, axis) for axis in range(2))
        yield problem.replaced(padding=padding, padding_after=padding)
    if not problem.transposed:
        yield problem.replaced(kernel_size=tuple(_fitting_kernel(problem, axis) for axis in range(2)))


def _fitting_padding(problem: Problem, axis: int) -> int:
    padding, size = problem.padding[axis], problem.input_sizes[axis]
    if problem.transposed:
        return min(padding, padding + (problem.output_sizes[axis] - 1) // 2)
    if problem.padding_mode in REACHES:
        padding = min(padding, size - REACHES[problem.padding_mode][0])
    extent = window_extent(problem.kernel_size, problem.dilation)[axis]
    return max(padding, -((size - extent) // 2))


def _fitting_kernel(problem: Problem, axis: int) -> int:
    padded = problem.input_sizes[axis] + problem.padding[axis] + problem.padding_after[axis]
    return min(problem.kernel_size[axis], (padded - 1) // problem.dilation[axis] + 1)


def _changed(problem: Problem) -> Iterator[Problem]:
    """Yield problems with one number changed, the smallest changes first."""
    for distance, sign in itertools.product(range(1, FURTHEST + 1), (-1, 1)):
        step = sign * distance
        for name in FIELDS:
            if name == "padding" and problem.padding_word:
                continue
            for which in _which_axes(problem):
                yield _moved(problem, name, which, step)
        for name in COUNTS:
            yield problem.replaced(**{name: getattr(problem, name) + step})


def _which_axes(problem: Problem) -> list[tuple[int, ...]]:
    """Return the axes to change together: each alone, then both."""
    alone: list[tuple[int, ...]] = [(axis,) for axis in problem.axes]
    return [*alone, tuple(problem.axes)] if len(alone) > 1 else alone


def _moved(problem: Problem, name: str, which: tuple[int, ...], step: int) -> Problem:
    numbers = tuple(number + step * (axis in which) for axis, number in enumerate(getattr(problem, name)))
    changes = {name: numbers}
    if name == "padding":
        changes["padding_after"] = numbers
    return problem.replaced(**changes)


def fits(problem: Problem) -> bool:
    """Return whether there is such a convolution.

    Args:
        problem: any numbers.
    """
    try:
        problem.check()
    except ConvShapeError:
        return False
    return True
