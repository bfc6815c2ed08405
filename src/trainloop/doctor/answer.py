"""What a kernel answered beside what is right, and where the two differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainloop.tolerance import Tolerance, tolerance

Numbers = NDArray[Any]
"""an array of int64 or float64: what is right"""


@dataclass(frozen=True)
class Answer:
    """One result of a kernel, and the right one.

    Args:
        what: which kernel, on which operands, and which of its results.
        found: float32, on the device that is checked, any shape and strides.
        expected: of the same shape.
        tolerance: how far the two may differ.
    """

    what: str
    found: Tensor
    expected: Numbers
    tolerance: Tolerance


@dataclass(frozen=True)
class Mismatch:
    """A result that is wrong.

    Args:
        what: as the answer's.
        found: the number that is furthest off, where it is, and how many are wrong.
        expected: the right number.
    """

    what: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.what}: {self.found}, expected {self.expected}"


def whole_numbers(device: torch.device, *, transforms: bool = False) -> Tolerance:
    """Return how far a result of small whole numbers may be from the right one.

    On the CPU it must be that very number: sums of such products are exact in float32 in any order. A library may compute a
    convolution by a transform with fractions, though (NNPACK's Winograd on the CPU; on other devices any of them).

    Args:
        device: that computes.
        transforms: the CPU may take such a transform for these sizes.
    """
    exact = device.type == "cpu" and not transforms
    return tolerance("float32", "whole numbers" if exact else "winograd")


def find_mismatch(answer: Answer) -> Mismatch | None:
    """Hold an answer against what is right; NaN is never right."""
    found, expected = answer.found.detach().cpu(), answer.expected
    if found.dtype != torch.float32 or tuple(found.shape) != expected.shape:
        wanted = f"float32 of shape {expected.shape}"
        return Mismatch(answer.what, f"{found.dtype} of shape {tuple(found.shape)}".removeprefix("torch."), wanted)
    numbers = found.numpy().astype(np.float64)
    bound = answer.tolerance.bound(float(np.abs(expected).max()))
    with np.errstate(invalid="ignore"):
        difference = np.abs(numbers - expected)
    # The comparison is this way round because a NaN is not ≤ anything.
    wrong = ~(difference <= bound)
    if not wrong.any():
        return None
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(difference), np.inf, difference))), wrong.shape)
    place = ", ".join(map(str, worst))
    return Mismatch(
        answer.what,
        f"{numbers[worst]:.9g} at [{place}] ({wrong.sum():,} of {wrong.size:,} numbers are wrong)",
        f"{expected[worst]:.9g}" + (f" ± {bound:.1e}" if bound else ""),
    )
