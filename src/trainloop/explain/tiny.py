"""The built-in example: a network of nine numbers and one sample, to be followed with pencil and paper.

    hidden = relu(first x + shift)           first = (1 0.5; −1 −0.5), shift = 0.5, x = (1, 2)
    output = scale · last hidden + shift     last = (0.5 1), scale = 2
    loss   = (output − 2)²

In the first step first x = (2, −2), hidden = (2.5, 0) for relu stops the second unit, output = 3 and loss = 1. ``shift`` is
used twice, ``unused`` never, and ``scale`` is frozen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.data.pipeline import Batch


class TinyNet(nn.Module):
    """Two units, one output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = linear([[1.0, 0.5], [-1.0, -0.5]])
        self.relu = nn.ReLU()
        self.last = linear([[0.5, 1.0]])
        self.shift = nn.Parameter(torch.tensor(0.5))
        self.scale = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.unused = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, shape (N, 1), of inputs of shape (N, 2)."""
        hidden = self.relu(self.first(x) + self.shift)
        output: Tensor = self.scale * self.last(hidden) + self.shift
        return output


def linear(weight: list[list[float]]) -> nn.Linear:
    """Return a linear layer without bias that has these weights."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight = nn.Parameter(torch.tensor(weight))
    return layer


def tiny_batch() -> Batch:
    """Return the one sample: x = (1, 2), whose output should be 2."""
    return Batch(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0]]), torch.tensor([0]))


def tiny_loss(output: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared error of the one sample, shape ()."""
    return F.mse_loss(output, wanted)
