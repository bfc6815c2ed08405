"""Make what fails as small as it can be while it still fails in the same way.

Greedy, as property-based testing does it: try each number at its least, half way there, one less; keep what still fails, and
begin again, until nothing smaller fails. The same case always ends in the same place.

Source: MacIver & Donaldson 2020, "Test-case reduction via test-case generation", of whose passes this is the simplest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from trainloop.bench.check.shape import smaller
from trainloop.bench.check.trial import NCHW, Case

MOST_TRIES = 600
T = TypeVar("T")


def shrink(failing: T, candidates: Callable[[T], Iterable[T]], fails: Callable[[T], bool]) -> T:
    """Return the smallest thing found that still fails.

    Args:
        failing: what fails.
        candidates: what is a little smaller than a thing, the best first.
        fails: whether a thing fails in the same way.
    """
    tries = 0
    while tries < MOST_TRIES:
        for candidate in candidates(failing):
            tries += 1
            if fails(candidate):
                failing = candidate
                break
            if tries == MOST_TRIES:
                break
        else:
            break
    return failing


def smaller_cases(case: Case) -> Iterator[Case]:
    """Yield possible cases that are smaller in one number, and first the same one in the usual layout, and without a bias."""
    if case.layout != NCHW:
        yield replace(case, layout=NCHW)
    if case.bias:
        yield replace(case, bias=False)
    yield from (replace(case, shape=shape) for shape in smaller(case.shape) if shape.can_be(case.operator))
