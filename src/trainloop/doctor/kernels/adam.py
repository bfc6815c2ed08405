"""Adam's inner loop, tensor by tensor and over lists of tensors, on every layout, against float64.

    exp_avg    ← exp_avg + (1 − β₁) · (grad − exp_avg)
    exp_avg_sq ← β₂ · exp_avg_sq + (1 − β₂) · grad²
    param      ← param − lr / (1 − β₁ᵗ) · exp_avg / (√exp_avg_sq / √(1 − β₂ᵗ) + eps)

in the calls by which ``torch.optim.Adam`` does it. Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainloop.doctor.answer import Answer, Numbers
from trainloop.doctor.layouts import CONTIGUOUS, LAYOUTS, Layout
from trainloop.doctor.whole_numbers import some_numbers
from trainloop.tolerance import tolerance

SHAPE = (3, 5, 4, 7)
LARGE = (7, 10, 10, 101)
"""more than twice 32,768 elements, the share of one thread"""
STEPS = 2
LR, BETA1, BETA2, EPS = 0.1, 0.9, 0.999, 1e-8
NAMES = ("param", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Placed:
    """A parameter, its state and its gradients on a device.

    Args:
        layout: of the parameter and its state.
        memory: of parameter, exp_avg and exp_avg_sq.
        views: the same as tensors.
        grads: of each step.
    """

    layout: Layout
    memory: tuple[Tensor, ...]
    views: tuple[Tensor, ...]
    grads: tuple[Tensor, ...]


def adam(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of some steps of Adam."""
    right = right_adam(SHAPE)
    cases = [(layout, grad) for layout in LAYOUTS for grad in dict.fromkeys((layout, CONTIGUOUS))]
    for layout, grad_layout in cases:
        placed = _place(SHAPE, layout, grad_layout, device)
        for step, grad in enumerate(placed.grads, 1):
            _one_by_one(placed.views, grad, step)
        beside = "" if grad_layout is layout else f", {grad_layout.name} gradient"
        yield from _answers(f"adam on {layout.name}{beside}", placed, right)
    large = _place(LARGE, CONTIGUOUS, CONTIGUOUS, device)
    for step, grad in enumerate(large.grads, 1):
        _one_by_one(large.views, grad, step)
    yield from _answers("adam on many elements", large, right_adam(LARGE))
    listed = [_place(SHAPE, layout, layout, device) for layout in LAYOUTS]
    for step in range(1, STEPS + 1):
        _over_lists(listed, step)
    for placed in listed:
        yield from _answers(f"adam over a list, {placed.layout.name}", placed, right)


def right_adam(shape: tuple[int, ...]) -> tuple[Numbers, Numbers, Numbers]:
    """Return parameter, exp_avg and exp_avg_sq after the steps, in float64."""
    param, *grads = _start(shape)
    exp_avg, exp_avg_sq = np.zeros(shape), np.zeros(shape)
    for step, grad in enumerate(grads, 1):
        exp_avg = BETA1 * exp_avg + (1 - BETA1) * grad
        exp_avg_sq = BETA2 * exp_avg_sq + (1 - BETA2) * grad**2
        denominator = np.sqrt(exp_avg_sq / (1 - BETA2**step)) + EPS
        param = param - LR / (1 - BETA1**step) * exp_avg / denominator
    return param, exp_avg, exp_avg_sq


def _start(shape: tuple[int, ...]) -> list[Numbers]:
    """Return the parameter and the gradient of every step; no gradient is 0, where eps alone would decide."""
    return [some_numbers(shape, 51) / 4, *((some_numbers(shape, 52 + step) + 0.5) / 8 for step in range(STEPS))]


def _place(shape: tuple[int, ...], layout: Layout, grad_layout: Layout, device: torch.device) -> Placed:
    param, *grads = _start(shape)
    placed = [layout.place(values, device) for values in (param, np.zeros(shape), np.zeros(shape))]
    memory, views = zip(*placed, strict=True)
    return Placed(layout, memory, views, tuple(grad_layout.place(grad, device)[1] for grad in grads))


def _one_by_one(views: Sequence[Tensor], grad: Tensor, step: int) -> None:
    """Make one step as ``torch.optim.Adam(foreach=False)`` does."""
    param, exp_avg, exp_avg_sq = views
    exp_avg.lerp_(grad, 1 - BETA1)
    exp_avg_sq.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
    denominator = (exp_avg_sq.sqrt() / (1 - BETA2**step) ** 0.5).add_(EPS)
    param.addcdiv_(exp_avg, denominator, value=-LR / (1 - BETA1**step))


def _over_lists(placed: Sequence[Placed], step: int) -> None:
    """Make one step as ``torch.optim.Adam(foreach=True)`` does."""
    params, exp_avgs, exp_avg_sqs = (list(views) for views in zip(*(one.views for one in placed), strict=True))
    grads = [one.grads[step - 1] for one in placed]
    torch._foreach_lerp_(exp_avgs, grads, 1 - BETA1)
    torch._foreach_mul_(exp_avg_sqs, BETA2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - BETA2)
    denominators = list(torch._foreach_sqrt(exp_avg_sqs))
    torch._foreach_div_(denominators, (1 - BETA2**step) ** 0.5)
    torch._foreach_add_(denominators, EPS)
    torch._foreach_addcdiv_(params, exp_avgs, denominators, -LR / (1 - BETA1**step))


def _answers(what: str, placed: Placed, right: Sequence[Numbers]) -> Iterator[Answer]:
    for name, memory, values in zip(NAMES, placed.memory, right, strict=True):
        yield Answer(f"{what}, {name}", memory, placed.layout.memory(values), tolerance("float32", "state"))
