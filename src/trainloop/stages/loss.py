"""Stage 3, loss: the mean cross entropy of a batch, or of a part of it times the part's share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.errors import TapeError
from trainloop.stages.context import Criterion, Loss, StageContext
from trainloop.stages.recording import refusal

HALF = (torch.float16, torch.bfloat16)


def builtin_loss(context: StageContext) -> Loss:
    """Return ``F.cross_entropy`` with the config's label smoothing, in float32 at least whatever the precision."""
    criterion = _criterion(context)

    def loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
        mean = criterion(logits.float() if logits.dtype in HALF else logits, labels)
        return mean if share == 1 else mean * share

    return loss


def manual_loss(context: StageContext) -> Loss:
    """Return the mean cross entropy, recorded by the tape: its rule stands in ``manual/rules/loss.py``.

    Raises:
        StageError: when called, for logits that the tape has not seen being made.
    """
    criterion, tape = _criterion(context), context.tape

    def loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
        try:
            with tape:
                mean = criterion(logits, labels)
                return mean if share == 1 else mean * share
        except TapeError as error:
            raise refusal(error) from error

    return loss


def _criterion(context: StageContext) -> Criterion:
    if context.substitutes.loss is not None:
        return context.substitutes.loss
    smoothing = context.config.train.label_smoothing
    return partial(F.cross_entropy, label_smoothing=smoothing) if smoothing else F.cross_entropy


LOSS: dict[str, Callable[[StageContext], Loss]] = {
    "builtin": builtin_loss,
    "manual": manual_loss,
}
