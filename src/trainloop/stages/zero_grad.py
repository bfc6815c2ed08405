"""Stage 1, zero_grad: forget the gradients of the last step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from trainloop.manual.zero_grad import zero_grad
from trainloop.stages.context import Action, StageContext


def builtin_zero_grad(context: StageContext) -> Action:
    """Return ``optimizer.zero_grad``, or the model's own when there are several optimizers, or they are not torch's."""
    optimizers = context.optimizers
    if len(optimizers) == 1 and isinstance(optimizers[0], torch.optim.Optimizer):
        return optimizers[0].zero_grad
    return context.model.zero_grad


def manual_zero_grad(context: StageContext) -> Action:
    """Return the assignment ``param.grad = None`` for every parameter."""
    return partial(zero_grad, context.params)


ZERO_GRAD: dict[str, Callable[[StageContext], Action]] = {
    "builtin": builtin_zero_grad,
    "manual": manual_zero_grad,
}
