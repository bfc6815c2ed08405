"""How large a problem may be, and the nearest one that is not too large."""

from __future__ import annotations

import math

from trainloop.errors import UsageError
from trainloop.explain_conv.nearest import fits
from trainloop.explain_conv.problem import Problem

MOST_PRODUCTS = 400_000_000
"""multiplications that a problem may take"""
MOST_NUMBERS = 20_000_000
"""of an input, weight or output"""


def refuse_too_large(problem: Problem) -> None:
    """Refuse a problem with more numbers than can be explained in a moment.

    Args:
        problem: that has been checked.

    Raises:
        UsageError: with its numbers, what is possible, and the nearest problem that is.
    """
    reason = too_large(problem)
    if not reason:
        return
    near = nearest_smaller(problem)
    many = max(problem.in_channels, problem.out_channels) > problem.groups
    raise UsageError(
        reason,
        found=f"{problem.text} of {problem.size_text}",
        expected="smaller numbers" if near is None else f"nearest: {near.text} --input {near.size_text}",
        help="fewer channels show the same: every pair of channels does what the first one does" if many else "",
    )


def too_large(problem: Problem) -> str:
    """Return what is too large to be explained, with the numbers; empty where nothing is.

    Args:
        problem: that has been checked.
    """
    sizes = problem.input_sizes if problem.transposed else problem.output_sizes
    products = math.prod(problem.weight_shape) * math.prod(sizes)
    if products > MOST_PRODUCTS:
        return f"{products:,} multiplications are too many to explain: expected at most {MOST_PRODUCTS:,}"
    for name, numbers in (
        ("input", problem.in_channels * math.prod(problem.input_sizes)),
        ("weight", math.prod(problem.weight_shape)),
        ("output", problem.out_channels * math.prod(problem.output_sizes)),
    ):
        if numbers > MOST_NUMBERS:
            return f"an {name} of {numbers:,} numbers is too large to explain: expected at most {MOST_NUMBERS:,}"
    return ""


def nearest_smaller(problem: Problem) -> Problem | None:
    """Return the problem with its largest numbers halved until it is not too large; None where that leads nowhere.

    Args:
        problem: that has been checked.
    """
    smaller: Problem | None = problem
    while smaller is not None and too_large(smaller):
        smaller = next(filter(fits, _halved(smaller)), None)
    return smaller


def _halved(problem: Problem) -> list[Problem]:
    """Return the problem with one number halved, the largest number first.

    Channels are halved for each group, so the groups stay; numbers of an axis along every axis that has the largest.
    """
    options = []
    for name in ("in_channels", "out_channels"):
        own = getattr(problem, name) // problem.groups
        options.append((own, problem.replaced(**{name: problem.groups * (own // 2)})))
    for name in ("input_sizes", "kernel_size", *(() if problem.padding_word else ("padding",))):
        numbers = getattr(problem, name)
        largest = max(numbers)
        half = tuple(number // 2 if number == largest else number for number in numbers)
        after = {"padding_after": half} if name == "padding" else {}
        options.append((largest, problem.replaced(**{name: half}, **after)))
    able = [option for option in options if option[0] > 1]
    return [smaller for _, smaller in sorted(able, key=lambda option: -option[0])]
