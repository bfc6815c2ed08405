"""Shapes drawn at random from a seed, without end: small, with the common numbers common, and always possible.

A failure in a large case is found in a small one too, with few exceptions, which the corner cases name; and small ones are
cheap to compute and to read. Half of what is drawn has stride and dilation 1, so that kernels that do no other get enough.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from trainloop.bench.check.shape import CONV_TRANSPOSE2D, Pair, Shape

MOST_PRODUCTS = 20_000
"""of the numbers N, C, O, H, W, K, L, G of a drawn shape"""
KERNELS, STRIDES, DILATIONS = (3, 3, 3, 1, 2, 4, 5), (1, 2, 2, 3), (1, 2, 2, 3)
CHANNELS = (1, 2, 2, 3, 4, 5, 8, 9, 16, 17)
GROUPS = (1, 1, 1, 2, 3)


def drawn(operator: str, seed: int) -> Iterator[Shape]:
    """Yield possible shapes without end, the same ones for the same operator and seed.

    Args:
        operator: conv2d or conv_transpose2d.
        seed: of the random numbers.
    """
    source = random.Random(f"{operator} {seed}")
    while True:
        shape = _draw(source, operator)
        size = shape.num * shape.channels * shape.out_channels * shape.groups
        if size * math.prod((*shape.size, *shape.kernel_size)) <= MOST_PRODUCTS and shape.can_be(operator):
            yield shape


def _draw(source: random.Random, operator: str) -> Shape:
    kernel_size = _pair(source, KERNELS)
    plain = source.random() < 0.5
    stride, dilation = ((1, 1), (1, 1)) if plain else (_pair(source, STRIDES), _pair(source, DILATIONS))
    padding = _pair(source, (0, 1, 1, 2, *kernel_size))
    output_padding = (0, 0)
    if operator == CONV_TRANSPOSE2D:
        output_padding = (source.randrange(max(stride[0], dilation[0])), source.randrange(max(stride[1], dilation[1])))
    return Shape(
        source.choice((1, 1, 2, 3, 5)),
        source.choice(CHANNELS),
        source.choice(CHANNELS),
        (source.randint(1, 12), source.randint(1, 12)),
        kernel_size,
        stride,
        padding,
        dilation,
        source.choice(GROUPS),
        output_padding,
    )


def _pair(source: random.Random, numbers: tuple[int, ...]) -> Pair:
    """Return a pair of the numbers, equal ones more often than not."""
    first = source.choice(numbers)
    return first, first if source.random() < 0.6 else source.choice(numbers)
