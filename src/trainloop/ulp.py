"""How far apart two floating-point numbers are, counted in numbers that lie between: units in the last place."""

from __future__ import annotations

import torch
from torch import Tensor

INTEGERS: dict[torch.dtype, torch.dtype] = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def same_bits(one: Tensor, two: Tensor) -> Tensor:
    """Return where the bits agree: −0 is not 0, and a NaN is itself.

    Args:
        one: any shape, a floating-point dtype.
        two: shape and dtype of ``one``.

    Returns:
        bool, shape of ``one``.
    """
    return _bits(one) == _bits(two)


def ulps(one: Tensor, two: Tensor) -> Tensor:
    """Return how many steps from one representable number to the next lie between two tensors, element by element.

    The bits of positive floating-point numbers, read as an integer, count them in order; those of negative ones count down.

    Args:
        one: any shape, a floating-point dtype, without NaN.
        two: shape and dtype of ``one``.

    Returns:
        int64, shape of ``one``; the largest int64 where the distance is more than that.
    """
    a, b = _ranks(one), _ranks(two)
    distance = torch.where((a < 0) == (b < 0), (a - b).abs(), a.abs() + b.abs())
    return torch.where(distance < 0, torch.iinfo(torch.int64).max, distance)


def _bits(x: Tensor) -> Tensor:
    return x.detach().contiguous().view(INTEGERS[x.dtype])


def _ranks(x: Tensor) -> Tensor:
    bits = _bits(x)
    return torch.where(bits < 0, torch.iinfo(bits.dtype).min - bits.long(), bits.long())
