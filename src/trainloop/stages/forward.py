"""Stage 2, forward: the logits of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.manual.errors import TapeError, UnsupportedConvError
from trainloop.stages.context import Forward, StageContext
from trainloop.stages.recording import refusal


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
    """Return the model's call, recorded by the tape.

    Raises:
        StageError: when called, for an operation that the tape has no rule for, or can never record,
            and for a convolution that ``stages.conv`` cannot do.
    """
    model, tape = context.model, context.tape

    def forward(x_NCHW: Tensor) -> Tensor:
        tape.clear()
        try:
            with tape:
                logits: Tensor = model(x_NCHW)
        except (TapeError, UnsupportedConvError) as error:
            raise refusal(error) from error
        return logits

    return forward


FORWARD: dict[str, Callable[[StageContext], Forward]] = {
    "builtin": builtin_forward,
    "manual": manual_forward,
}
