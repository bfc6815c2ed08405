"""Numbers of the manual path beside those of the built-in one."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from trainloop.explain.results import AllCompared, Compared
from trainloop.ulp import same_bits, ulps


def compare_one(manual: Tensor | None, builtin: Tensor | None) -> Compared:
    """Compare two numbers.

    Args:
        manual: shape (), or None.
        builtin: likewise.
    """
    ours, theirs = (None if number is None else number.item() for number in (manual, builtin))
    if manual is None or builtin is None:
        return Compared(ours, theirs, same_bits=manual is builtin, ulps=None)
    known = not (manual.isnan() or builtin.isnan())
    return Compared(ours, theirs, bool(same_bits(manual, builtin)), int(ulps(manual, builtin)) if known else None)


def compare_all(pairs: Iterable[tuple[Tensor | None, Tensor | None]]) -> AllCompared:
    """Compare tensors; a pair of None is not counted.

    Args:
        pairs: (manual, builtin) of one shape and dtype.
    """
    found = [pair for pair in pairs if pair != (None, None)]
    whole = [(manual, builtin) for manual, builtin in found if manual is not None and builtin is not None]
    differences = [_difference(manual, builtin) for manual, builtin in whole]
    same = sum(bool(same_bits(manual, builtin).all()) for manual, builtin in whole)
    return AllCompared(len(found), same, math.inf if len(whole) < len(found) else max(differences, default=0.0))


def _difference(manual: Tensor, builtin: Tensor) -> float:
    """Return the largest difference over the largest absolute value; NaN where there is one."""
    difference = (manual.detach() - builtin.detach()).abs()
    if not difference.numel():
        return 0.0
    largest: float = difference.max().item()
    return largest / builtin.detach().abs().max().item() if largest > 0 else largest
