"""What is said of the overlap: why it is as it is, what its score means, and what avoids a pattern."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from trainloop.explain_conv.explanation import Explanation, Phases, Way
from trainloop.explain_conv.words.names import times
from trainloop.manual.conv.padding import ZEROS

MOST_COUNTS = 8
"""of a period that are written out"""


def overlap_texts(explanation: Explanation, *, with_counts: bool = True) -> list[str]:
    """Return why outputs are written (of a convolution: inputs read) as often as they are, for each axis that differs.

    Args:
        explanation: the whole.
        with_counts: add the counts of a whole period.
    """
    by_text: dict[str, list[str]] = {}
    for phases in explanation.overlap.phases:
        counts = _period(phases.counts)
        far = f" (far from the border: {counts}, over and over)" if with_counts and phases.stride > 1 else ""
        by_text.setdefault(f"{phases.why}{far}", []).append(phases.axis)
    return [f"{' and '.join(axes)}: {text}" for text, axes in by_text.items()]


def _period(counts: Sequence[int]) -> str:
    """Return ``2 1``, of a long period ``3 times 1, 61 times 0``."""
    if len(counts) <= MOST_COUNTS:
        return " ".join(map(str, counts))
    runs = [(value, len(list(run))) for value, run in itertools.groupby(counts)]
    texts = [f"{length} times {value}" for value, length in runs]
    return ", ".join(texts[:MOST_COUNTS]) + (", …" if len(texts) > MOST_COUNTS else "")


def score_text(explanation: Explanation) -> str:
    """Return what the score of the overlap means, with its numbers."""
    near = "" if has_inside(explanation) else " (of larger inputs: here every place is near the border)"
    problem = explanation.problem
    repeats = not problem.transposed and problem.padding_mode != ZEROS and any(problem.padding_after)
    more = f"; {problem.padding_mode} padding reads some more often" if repeats else ""
    return f"{_score_meaning(explanation)}{more}{near}"


def has_inside(explanation: Explanation) -> bool:
    """Return whether along each axis a whole period of places is far from the border, where all taps are met.

    Of a transposed convolution the places are outputs, of a convolution inputs.

    Args:
        explanation: the whole.
    """
    problem = explanation.problem
    for number in problem.axes:
        axis, stride, padding = explanation.axes[number], problem.stride[number], problem.padding[number]
        reach = problem.dilation[number] * (problem.kernel_size[number] - 1)
        ends = (axis.input_size, axis.output_size)
        steps, places = ends if problem.transposed else ends[::-1]
        first, last = max(reach, padding), min((steps - 1) * stride, padding + places - 1)
        if last - first + 1 < stride:
            return False
    return True


def _score_meaning(explanation: Explanation) -> str:
    phases = explanation.overlap.phases
    least, most = (math.prod(pick(one.counts) for one in phases) for pick in (min, max))
    fewest, often = _how_often(phases, min), _how_often(phases, max)
    made = "written" if explanation.problem.transposed else "read"
    if least == most:
        return f"even: far from the border each is {made} {often}; no checkerboard"
    if least == 0:
        return f"some are never {made}, others {often}: holes"
    uneven = [one for one in phases if not one.even]
    pattern = "a checkerboard" if len(uneven) == 2 else "stripes" if len(phases) == 2 else "a pattern"
    other = "" if explanation.problem.transposed else " (its gradient has the pattern, its output has not)"
    return f"{pattern}: {fewest} to {often}, 1 − {least}/{most}{other}"


def _how_often(phases: Sequence[Phases], pick: Callable[[Sequence[int]], int]) -> str:
    """Return how often, of two axes as a product: ``2·2 = 4 times``."""
    factors = [pick(one.counts) for one in phases]
    total = math.prod(factors)
    if total == 1:
        return "once"
    return f"{'·'.join(map(str, factors))} = {total} times" if len(factors) > 1 else f"{total} times"


def way_text(way: Way) -> str:
    """Return other parameters, and in brackets what is different."""
    changes = ", ".join(f"{name} {_number(old)} → {_number(new)}" for name, (old, new) in way.changed.items())
    return f"{way.text}   ({changes})"


def _number(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else times(numbers)
