"""Stage 4, backward: the gradient of the loss in every ``param.grad``."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from trainloop.manual.errors import TapeError, UnsupportedConvError
from trainloop.stages.context import Backward, StageContext
from trainloop.stages.recording import refusal


def builtin_backward(context: StageContext) -> Backward:
    """Return ``loss.backward()``, of the scaled loss in fp16."""
    scaler = context.scaler
    if scaler is None:
        return Tensor.backward

    def scaled_backward(loss: Tensor) -> None:
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    return scaled_backward


def manual_backward(context: StageContext) -> Backward:
    """Return the walk back over the tape, which adds ∂loss/∂param to ``param.grad``.

    Raises:
        StageError: when called, for a tensor that the model changed in place after a rule had saved it, and for a gradient
            of a convolution that ``stages.conv`` cannot do.
    """
    tape = context.tape

    def backward(loss: Tensor) -> None:
        try:
            tape.backward(loss)
        except (TapeError, UnsupportedConvError) as error:
            raise refusal(error) from error

    return backward


BACKWARD: dict[str, Callable[[StageContext], Backward]] = {
    "builtin": builtin_backward,
    "manual": manual_backward,
}
