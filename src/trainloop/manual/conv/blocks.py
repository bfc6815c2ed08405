"""Blocks of images: an algorithm that spreads its input out does so for a few at a time, so that its memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_BYTES = 32 << 20
"""what an algorithm may spread out at a time"""


def images_a_block(num: int, bytes_of_image: int, budget: int = BLOCK_BYTES) -> int:
    """Return how many of ``num`` images fit into the budget; at least one."""
    return max(1, min(num, budget // max(1, bytes_of_image)))


def blocks(num: int, size: int) -> Iterator[slice]:
    """Return slices of ``size`` that cover ``num``."""
    return (slice(first, first + size) for first in range(0, num, size))
