"""Stage 4, backward: the gradient of the loss in every ``param.grad``."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from trainloop.manual.backward import backward
from trainloop.stages.context import Backward, StageContext


def builtin_backward(context: StageContext) -> Backward:
    """Return ``loss.backward()``, of the scaled loss in fp16."""
    scaler = context.scaler
    if scaler is None:
        return Tensor.backward

    def scaled_backward(loss: Tensor) -> None:
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    return scaled_backward


def manual_backward(context: StageContext) -> Backward:
    """Return the accumulation ``param.grad ← param.grad + ∂loss/∂param``, written out."""
    params = context.params

    def accumulate(loss: Tensor) -> None:
        backward(loss, params)

    return accumulate


BACKWARD: dict[str, Callable[[StageContext], Backward]] = {
    "builtin": builtin_backward,
    "manual": manual_backward,
}
