"""Stage 2, forward: the logits of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.stages.context import Forward, StageContext


def builtin_forward(context: StageContext) -> Forward:
    """Return the model's call, recorded by autograd; compiled and under autocast if the config asks for it."""
    model = torch.compile(context.model) if context.config.train.compile else context.model
    if context.config.train.precision == "fp32":
        return model

    def forward(x_NCHW: Tensor) -> Tensor:
        with context.autocast():
            logits: Tensor = model(x_NCHW)
        return logits

    return forward


def manual_forward(context: StageContext) -> Forward:
    """Return the model's call. Autograd records it, for the manual backward asks autograd for the derivatives."""
    return context.model


FORWARD: dict[str, Callable[[StageContext], Forward]] = {
    "builtin": builtin_forward,
    "manual": manual_forward,
}
