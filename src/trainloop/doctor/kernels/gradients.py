"""Gradients of a kernel's output, as a training step asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients(output: Tensor, grad_output: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient of each leaf.

    The output is made a loss by ⟨output, grad_output⟩, not by ``grad_outputs``, whose first use loads half a second of modules.

    Args:
        output: any shape.
        grad_output: of the same shape and layout; becomes the gradient of ``output`` without a rounding.
        leaves: that ``output`` was computed from.
    """
    with torch.enable_grad():
        loss = (output * grad_output).sum()
    return torch.autograd.grad(loss, leaves)
