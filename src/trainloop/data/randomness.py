"""Random numbers that are pure functions of (seed, epoch, stream, index).

What it replaces: a random generator with a state, as ``torch.Generator``. Here nothing is stored and nothing advances:
the number for sample 17 in epoch 3 is computed from 17 and 3 alone. So any sample of any epoch can be made again by
itself, a resumed run needs no saved state, and the random stream that initialises the model is never touched.

Idea: SplitMix64 is a counter passed through a mixing function, so its n-th output needs no outputs before it. The seed,
the epoch and the stream are mixed into the start of the counter; the index is the position. Every operation is exact
arithmetic modulo 2^64 on int64 tensors, so the bits are the same on every device and with any number of threads.

Limits: for shuffling and augmentation, not for secrets.

Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", doi:10.1145/2714064.2660195; the
mixing function is D. Stafford's variant 13.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor


class Stream(IntEnum):
    """What a number is drawn for; numbers of different streams are unrelated."""

    ORDER = 0
    FLIP = 1
    SHIFT_Y = 2
    SHIFT_X = 3
    HOLE_Y = 4
    HOLE_X = 5
    VALIDATION = 6


def _signed(value: int) -> int:
    """Return the int64 with the same 64 bits."""
    value %= 1 << 64
    return value - (1 << 64) if value >> 63 else value


GOLDEN_GAMMA = _signed(0x9E3779B97F4A7C15)
MULTIPLIER_1 = _signed(0xBF58476D1CE4E5B9)
MULTIPLIER_2 = _signed(0x94D049BB133111EB)


def random_bits(indices: Tensor, *, seed: int, epoch: int, stream: int) -> Tensor:
    """Draw 64 random bits for each index.

    Args:
        indices: int64, any shape, on any device.
        seed: in [0, 2^63).
        epoch: counted from 0.
        stream: what the numbers are for, see :class:`Stream`.

    Returns:
        bits, int64 (all 64 bits are random, the sign too), shape and device of ``indices``.
    """
    start = torch.tensor(seed, device="cpu")
    for word in (epoch, stream):
        start = _mix(start + GOLDEN_GAMMA) + word
    return _mix(int(_mix(start)) + (indices + 1) * GOLDEN_GAMMA)


def random_integers(indices: Tensor, low: int, high: int, *, seed: int, epoch: int, stream: int) -> Tensor:
    """Draw one integer for each index, uniform on low, low + 1, …, high.

    The upper 32 bits are read as a fraction of 2^32 and scaled; no value's chance is off by more than 2^-32.

    Args:
        indices: int64, any shape, on any device.
        low: smallest value.
        high: largest value, less than low + 2^31.
        seed: of the run, in [0, 2^63).
        epoch: counted from 0.
        stream: what the numbers are for.

    Returns:
        integers, int64, shape and device of ``indices``.

    Source: Lemire 2019, "Fast random integer generation in an interval", arXiv:1805.10941, without its rejection.
    """
    bits = random_bits(indices, seed=seed, epoch=epoch, stream=stream)
    return _shift_right(_shift_right(bits, 32) * (high - low + 1), 32) + low


def permutation(
    count: int, *, seed: int, epoch: int, stream: int = Stream.ORDER, device: torch.device | str = "cpu"
) -> Tensor:
    """Return 0, …, count − 1 in random order: the indices sorted by their random bits, a tie by index.

    Args:
        count: how many.
        seed: of the run, in [0, 2^63).
        epoch: counted from 0.
        stream: what the numbers are for.
        device: where to compute; the result is the same everywhere.

    Returns:
        order, int64, shape (count,).
    """
    indices = torch.arange(count, device=device)
    return random_bits(indices, seed=seed, epoch=epoch, stream=stream).argsort(stable=True)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * MULTIPLIER_1
    z = (z ^ _shift_right(z, 27)) * MULTIPLIER_2
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, count: int) -> Tensor:
    # torch shifts int64 arithmetically, copying the sign bit; the mask clears the copies.
    return (z >> count) & ((1 << (64 - count)) - 1)
