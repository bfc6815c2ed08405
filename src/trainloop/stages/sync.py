"""Stage 5, sync: make the gradients final before the update: unscale them (fp16) and clip them, by norm first, then by value.

Averaging gradients over processes belongs here too.
"""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from trainloop.manual.clip import clip_grad_norm, clip_grad_value
from trainloop.stages.context import Action, StageContext


def nothing() -> None:
    """Leave the gradients as they are."""


def builtin_sync(context: StageContext) -> Action:
    """Return torch's own clipping, and nothing when the config asks for none."""
    train, scaler = context.config.train, context.scaler
    if train.clip_grad_norm is None and train.clip_grad_value is None:
        return nothing

    def clip() -> None:
        if scaler is not None:
            for optimizer in context.optimizers:
                scaler.unscale_(optimizer)
        if train.clip_grad_norm is not None:
            clip_grad_norm_(context.params, train.clip_grad_norm)
        if train.clip_grad_value is not None:
            clip_grad_value_(context.params, train.clip_grad_value)

    return clip


def manual_sync(context: StageContext) -> Action:
    """Return the clipping written out, and nothing when the config asks for none."""
    train, params = context.config.train, context.params
    if train.clip_grad_norm is None and train.clip_grad_value is None:
        return nothing

    def clip() -> None:
        if train.clip_grad_norm is not None:
            clip_grad_norm(params, train.clip_grad_norm)
        if train.clip_grad_value is not None:
            clip_grad_value(params, train.clip_grad_value)

    return clip


SYNC: dict[str, Callable[[StageContext], Action]] = {
    "builtin": builtin_sync,
    "manual": manual_sync,
}
