"""Bootstrap intervals: how far a statistic of a few measurements would move if they were measured again.

Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife"; the percentile interval.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence

RESAMPLES = 1_000
CONFIDENCE = 0.95
Interval = tuple[float, float]


def interval(values: Sequence[float], statistic: Callable[[Sequence[float]], float]) -> Interval:
    """Return the 95 % percentile bootstrap interval of a statistic; the same for the same values.

    Args:
        values: the measurements, at least one.
        statistic: of some of them, such as ``statistics.median``.
    """
    draw = random.Random(0)
    return _middle([statistic(draw.choices(values, k=len(values))) for _ in range(RESAMPLES)])


def interval_of_ratio(values: Sequence[float], base: Sequence[float]) -> Interval:
    """Return the 95 % interval of median(values) / median(base); the same for the same measurements.

    Measurements made in turns are drawn in pairs, for a machine that was slow was slow for both; those of which there is not
    the same number are drawn apart.

    Args:
        values: the measurements, at least one.
        base: what they are divided by; as many where both were made in turns.
    """
    draw = random.Random(0)
    found = []
    for _ in range(RESAMPLES):
        if len(values) == len(base):
            picked = draw.choices(range(len(values)), k=len(values))
            one, two = [values[index] for index in picked], [base[index] for index in picked]
        else:
            one, two = draw.choices(values, k=len(values)), draw.choices(base, k=len(base))
        found.append(statistics.median(one) / statistics.median(two))
    return _middle(found)


def _middle(found: list[float]) -> Interval:
    """Return the ends of the middle 95 % of resampled statistics."""
    found.sort()
    tail = (1 - CONFIDENCE) / 2
    return found[round(tail * len(found))], found[round((1 - tail) * len(found)) - 1]
