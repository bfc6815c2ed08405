"""The linear layer: forward and gradients, against whole numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from trainloop.doctor.answer import Answer, whole_numbers
from trainloop.doctor.kernels.gradients import gradients
from trainloop.doctor.layouts import to_device
from trainloop.doctor.whole_numbers import WIDE, some_numbers

BATCH, IN_FEATURES, OUT_FEATURES = 33, 65, 19
"""none a multiple of a vector register, so that kernels have edges to get wrong"""


def linear(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of x · weightᵀ + bias."""
    x, weight = WIDE * some_numbers((BATCH, IN_FEATURES), 11), some_numbers((OUT_FEATURES, IN_FEATURES), 12)
    bias, grad = some_numbers((OUT_FEATURES,), 13), some_numbers((BATCH, OUT_FEATURES), 14)
    leaves = [to_device(values, device).requires_grad_() for values in (x, weight, bias)]
    with torch.enable_grad():
        output = F.linear(*leaves)
    grads = gradients(output, to_device(grad, device), leaves)
    rights = {
        "output": x @ weight.T + bias,
        "grad_input": grad @ weight,
        "grad_weight": grad.T @ x,
        "grad_bias": grad.sum(axis=0),
    }
    for (name, right), found in zip(rights.items(), (output, *grads), strict=True):
        yield Answer(f"linear, {name}", found, right, whole_numbers(device))
