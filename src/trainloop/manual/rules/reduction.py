"""Reductions: sums and means over some or all dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved


def sum_all(input: Tensor) -> tuple[Tensor, Saved]:
    """y = Σ x; saves the shape."""
    return torch.sum(input), (input.shape,)


def sum_all_vjp(grad_output: Tensor, shape: torch.Size) -> Tensor:
    """grad_input = g at every element."""
    return grad_output.expand(shape)


REDUCTION: dict[str, Rule] = {
    "sum": Rule(
        "sum",
        functions=(torch.sum, Tensor.sum),
        forms={"formula": Form(sum_all, sum_all_vjp, exact=True)},
        examples=(call(T(2, 3, 4)),),
    ),
}
