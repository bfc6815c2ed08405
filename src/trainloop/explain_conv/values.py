"""The numbers of an explanation: 1 2 3 … 9 1 2 …, row by row, so that every sum can be followed by hand.

    input[c, h, w]        = (5·c + W·h + w) mod m + 1
    weight[a, b, k, l]    = (5·a + 7·b + L·k + l) mod n + 1
    bias[o]               = o mod 9

m and n are 9, or 8 where 9 would make all rows alike. No number is zero but the first bias, so a zero in a picture is always a
place where nothing is; and all sums are whole numbers, so that "the same" means every digit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.explain_conv.problem import Problem
from trainloop.manual.windows import Sizes

CHANNEL, OTHER_CHANNEL = 5, 7
"""how far the first number of the next channel is along; both have no divisor in common with 9 and 8"""
BIASES = 9


def span(columns: int) -> int:
    """Return after how many numbers the count begins anew, for rows of that length."""
    return 9 if columns % 9 else 8


def input_values(problem: Problem) -> Tensor:
    """Return the input, int64, shape (G·C, H, W)."""
    return _counted((problem.in_channels, *problem.input_sizes), (CHANNEL,))


def weight_values(problem: Problem) -> Tensor:
    """Return the weight, int64, shape (G·O, C, K, L), of a transposed convolution (G·C, O, K, L)."""
    return _counted(problem.weight_shape, (CHANNEL, OTHER_CHANNEL))


def bias_values(problem: Problem) -> Tensor:
    """Return the bias, int64, shape (G·O,); zeros where the module has none."""
    bias = torch.arange(problem.out_channels) % BIASES
    return bias if problem.bias else torch.zeros_like(bias)


def _counted(shape: Sizes, steps: tuple[int, ...]) -> Tensor:
    columns = shape[-1]
    total = torch.zeros(shape, dtype=torch.int64)
    for axis, step in enumerate((*steps, columns, 1)):
        sizes = [-1 if place == axis else 1 for place in range(len(shape))]
        total += step * torch.arange(shape[axis]).view(sizes)
    return total % span(columns) + 1
