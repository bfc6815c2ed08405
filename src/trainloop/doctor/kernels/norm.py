"""Batch norm: training and evaluation, running statistics and gradients, both memory formats, against float64.

With M elements a channel, mean μ and variance σ² of them, x̂ = (x − μ) / √(σ² + eps):

    y = x̂ · weight + bias        running ← (1 − momentum) · running + momentum · (μ, σ² · M / (M − 1))
    grad_bias = Σ dy             grad_weight = Σ dy · x̂
    grad_input = weight / √(σ² + eps) · (dy − grad_bias / M − x̂ · grad_weight / M)

In evaluation μ and σ² are the running ones, and grad_input is its first term alone.

Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from trainloop.doctor.answer import Answer, Numbers
from trainloop.doctor.kernels.gradients import gradients
from trainloop.doctor.layouts import FORMATS, Layout, to_device
from trainloop.doctor.whole_numbers import some_numbers
from trainloop.tolerance import tolerance

SHAPE = (4, 19, 7, 5)
"""channels and positions that no vector register divides"""
MOMENTUM, EPS = 0.1, 1e-5
AXES = (0, 2, 3)
QUANTITIES = {
    "output": "output",
    "grad_input": "gradient",
    "grad_weight": "gradient",
    "grad_bias": "gradient",
    "running_mean": "state",
    "running_var": "state",
}
"""result → line of the table of tolerances"""


@dataclass(frozen=True)
class Operands:
    """What batch norm is given, in float64.

    Args:
        x, grad_output: shape (N, C, H, W).
        weight, bias, mean, var: shape (C,); the last two are the running statistics.
    """

    x: Numbers
    grad_output: Numbers
    weight: Numbers
    bias: Numbers
    mean: Numbers
    var: Numbers


def batch_norm(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of batch norm."""
    given = _operands()
    for layout in FORMATS:
        for training in (True, False):
            right = right_batch_norm(given, training=training)
            found = _run(given, layout, device, training=training)
            where = f"batch_norm in {'training' if training else 'evaluation'}, {layout.name}"
            for name, quantity in QUANTITIES.items():
                yield Answer(f"{where}, {name}", found[name], right[name], tolerance("float32", quantity))


def _operands() -> Operands:
    """Return operands that float32 has exactly, far enough from 0 that a mean left out is noticed."""
    channels = SHAPE[1]
    return Operands(
        x=some_numbers(SHAPE, 21) / 2 + some_numbers((channels, 1, 1), 22),
        grad_output=some_numbers(SHAPE, 23) / 4,
        weight=1 + some_numbers((channels,), 24) / 8,
        bias=some_numbers((channels,), 25) / 8,
        mean=some_numbers((channels,), 26) / 4,
        var=2 + some_numbers((channels,), 27) / 4,
    )


def _run(given: Operands, layout: Layout, device: torch.device, *, training: bool) -> dict[str, torch.Tensor]:
    """Return output, gradients and running statistics of the device."""
    x = layout.place(given.x, device)[1].requires_grad_()
    weight, bias = (to_device(values, device).requires_grad_() for values in (given.weight, given.bias))
    mean, var = to_device(given.mean, device), to_device(given.var, device)
    with torch.enable_grad():
        output = F.batch_norm(x, mean, var, weight, bias, training, MOMENTUM, EPS)
    _, grad_output = layout.place(given.grad_output, device)
    grads = gradients(output, grad_output, (x, weight, bias))
    return dict(zip(QUANTITIES, (output, *grads, mean, var), strict=True))


def right_batch_norm(given: Operands, *, training: bool) -> dict[str, Numbers]:
    """Return output, gradients and running statistics in float64, by the formulas above."""
    num = given.x.size // given.x.shape[1]
    mean, var = (given.x.mean(axis=AXES), given.x.var(axis=AXES)) if training else (given.mean, given.var)
    inverse = 1 / np.sqrt(var + EPS)
    normal = (given.x - _wide(mean)) * _wide(inverse)
    grad_bias = given.grad_output.sum(axis=AXES)
    grad_weight = (given.grad_output * normal).sum(axis=AXES)
    inner = given.grad_output
    if training:
        inner = inner - _wide(grad_bias) / num - normal * _wide(grad_weight) / num
    share = MOMENTUM if training else 0.0
    return {
        "output": normal * _wide(given.weight) + _wide(given.bias),
        "grad_input": _wide(given.weight * inverse) * inner,
        "grad_weight": grad_weight,
        "grad_bias": grad_bias,
        "running_mean": (1 - share) * given.mean + share * mean,
        "running_var": (1 - share) * given.var + share * var * num / (num - 1),
    }


def _wide(values_C: Numbers) -> Numbers:
    return values_C[:, None, None]
