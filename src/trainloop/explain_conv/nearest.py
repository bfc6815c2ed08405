"""The nearest numbers that fit together: what a message offers beside the rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from trainloop.explain_conv.problem import Problem
from trainloop.manual.errors import ConvShapeError

FIELDS = ("output_padding", "padding", "kernel_size", "dilation", "stride", "input_sizes")
"""numbers of an axis, in the order in which a change of them is offered"""
COUNTS = ("groups", "in_channels", "out_channels")
LEAST = {"output_padding": 0, "padding": 0}
"""smallest value, where it is not 1"""
FURTHEST = 64
"""how far a number may move"""


def nearest_problem(problem: Problem) -> Problem | None:
    """Return the problem that is one number away (beside those that are too small, or too large an output_padding) and fits.

    Args:
        problem: whose numbers do not.
    """
    raised = _raised(problem)
    if fits(raised):
        return raised
    return next(filter(fits, _changed(raised)), None)


def _raised(problem: Problem) -> Problem:
    """Return the problem with every number that is too small at its smallest value, and output_padding within its limits."""
    changes: dict[str, object] = {
        name: tuple(max(number, LEAST.get(name, 1)) for number in getattr(problem, name)) for name in FIELDS
    }
    reach = zip(problem.output_padding, problem.stride, problem.dilation, strict=True)
    changes["output_padding"] = tuple(min(max(more, 0), max(s, d, 1) - 1) for more, s, d in reach)
    changes |= {name: max(getattr(problem, name), 1) for name in COUNTS}
    padding = changes["padding"] if problem.padding == problem.padding_after else problem.padding_after
    return problem.replaced(**changes, padding_after=padding)


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
