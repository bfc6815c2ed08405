"""The difference of two tensors in numbers: where it is largest, absolute, relative, in units in the last place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.ulp import INTEGERS, same_bits, ulps


@dataclass(frozen=True)
class Difference:
    """How two tensors differ.

    Args:
        index: of the element that differs most.
        reference: its value on the reference side; NaN where there is none.
        candidate: likewise.
        abs_err: largest absolute difference.
        rel_err: ``abs_err`` divided by the largest absolute value of the reference.
        ulp: distance at ``index`` in units in the last place of the reference's dtype; None across dtypes and for NaN.
        scale: the largest absolute value of the reference.
        problem: what makes the two incomparable in numbers: a shape, a NaN, a tensor that is missing; else empty.
    """

    index: tuple[int, ...] = ()
    reference: float = math.nan
    candidate: float = math.nan
    abs_err: float = 0.0
    rel_err: float = 0.0
    ulp: int | None = 0
    scale: float = 0.0
    problem: str = ""

    @property
    def is_nan_on_both_sides(self) -> bool:
        """Whether nothing can be said because neither side has a number there."""
        return self.problem == BOTH_NAN


BOTH_NAN = "NaN on both sides"


def equal_bits(reference: Tensor | None, candidate: Tensor | None) -> bool:
    """Whether two tensors have one dtype, one shape and the same bits, or are both missing.

    −0 is not 0, and a NaN equals a NaN of the same bits: this is about bytes, not about numbers.
    """
    if reference is None or candidate is None:
        return reference is candidate
    if reference.dtype != candidate.dtype or reference.shape != candidate.shape:
        return False
    candidate = candidate.to(reference.device)
    if reference.dtype in INTEGERS:
        return bool(same_bits(reference, candidate).all())
    return torch.equal(reference, candidate)


def difference(reference: Tensor | None, candidate: Tensor | None) -> Difference:
    """Measure how two tensors differ; a NaN is never passed over.

    Args:
        reference: any shape and dtype, None for a gradient that is not there.
        candidate: likewise.
    """
    if reference is None or candidate is None:
        if reference is candidate:
            return Difference()
        side = "reference" if reference is None else "candidate"
        there = candidate if reference is None else reference
        assert there is not None
        return Difference(
            abs_err=math.inf, rel_err=math.inf, ulp=None, scale=largest(there), problem=f"None on the {side}"
        )
    if reference.shape != candidate.shape:
        shapes = f"shape {tuple(candidate.shape)} instead of {tuple(reference.shape)}"
        return Difference(abs_err=math.inf, rel_err=math.inf, ulp=None, problem=shapes)
    if not reference.numel():
        return Difference()
    one, two = reference.double(), candidate.double().to(reference.device)
    if not bool(torch.isfinite(one).all() and torch.isfinite(two).all()):
        found = _not_finite(one, two)
        if found is not None:
            return found
    gap = torch.where(one == two, 0.0, (two - one).abs())
    place = int(gap.argmax())
    index = _index(place, reference.shape)
    abs_err, scale = gap.flatten()[place].item(), largest(one)
    return Difference(
        index,
        one[index].item(),
        two[index].item(),
        abs_err,
        abs_err / scale if scale and math.isfinite(scale) else (math.inf if abs_err else 0.0),
        _ulp(reference[index], candidate[index]),
        scale,
    )


def largest(tensor: Tensor) -> float:
    """Return the largest absolute value of the finite elements; 0 where there is none."""
    if not tensor.numel():
        return 0.0
    finite: float = torch.nan_to_num(tensor.detach().double().abs(), nan=0.0, posinf=0.0).max().item()
    return finite


def largest_gap(one: Tensor | None, two: Tensor | None) -> float:
    """Return the largest absolute difference; infinite where the two cannot be compared in numbers."""
    if one is None or two is None:
        return 0.0 if one is two else math.inf
    if one.shape != two.shape:
        return math.inf
    if not one.numel():
        return 0.0
    a, b = one.double(), two.double().to(one.device)
    gap = torch.where(a == b, 0.0, (a - b).abs()).max().item()
    return math.inf if math.isnan(gap) else gap


def _not_finite(one: Tensor, two: Tensor) -> Difference | None:
    """Return the first place where the sides disagree about NaN or infinity, or where both are NaN; None if there is none."""
    nan_one, nan_two = one.isnan(), two.isnan()
    infinite = one.isinf() | two.isinf()
    apart = (nan_one != nan_two) | (infinite & (one != two) & ~(nan_one & nan_two))
    mask, problem = (apart, "") if bool(apart.any()) else (nan_one, BOTH_NAN)
    if not bool(mask.any()):
        return None
    index = _index(int(mask.flatten().to(torch.int8).argmax()), one.shape)
    reference, candidate = one[index].item(), two[index].item()
    if not problem:
        problem = f"{candidate} on the candidate, {reference} on the reference"
    return Difference(index, reference, candidate, math.inf, math.inf, None, largest(one), problem)


def _index(place: int, shape: torch.Size) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(place), shape))


def _ulp(reference: Tensor, candidate: Tensor) -> int | None:
    if reference.dtype != candidate.dtype or reference.dtype not in INTEGERS:
        return None
    return int(ulps(reference, candidate.to(reference.device)))
