"""Stage 5, sync: make the gradients final before the update: unscale them (fp16) and clip them.

Both modes use torch's own clipping. Averaging gradients over processes belongs here too.
"""

from __future__ import annotations

from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from trainloop.stages.context import Action, StageContext


def nothing() -> None:
    """Leave the gradients as they are."""


def build_sync(context: StageContext) -> Action:
    """Return what the config asks for, and nothing when it asks for nothing; by norm first, then by value."""
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
