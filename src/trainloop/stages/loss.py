"""Stage 3, loss: the mean cross entropy of a batch, or of a part of it times the part's share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.errors import TapeError
from trainloop.stages.context import Loss, StageContext
from trainloop.stages.recording import refusal


def builtin_loss(context: StageContext) -> Loss:
    """Return ``F.cross_entropy`` with the config's label smoothing, in float32 whatever the precision."""
    cross_entropy = _cross_entropy(context)

    def loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
        mean = cross_entropy(logits.float(), labels)
        return mean if share == 1 else mean * share

    return loss


def manual_loss(context: StageContext) -> Loss:
    """Return the mean cross entropy, recorded by the tape: its rule stands in ``manual/rules/loss.py``.

    Raises:
        StageError: when called, for logits that the tape has not seen being made.
    """
    cross_entropy, tape = _cross_entropy(context), context.tape

    def loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
        try:
            with tape:
                mean = cross_entropy(logits, labels)
                return mean if share == 1 else mean * share
        except TapeError as error:
            raise refusal(error) from error

    return loss


def _cross_entropy(context: StageContext) -> Callable[[Tensor, Tensor], Tensor]:
    smoothing = context.config.train.label_smoothing
    return partial(F.cross_entropy, label_smoothing=smoothing) if smoothing else F.cross_entropy


LOSS: dict[str, Callable[[StageContext], Loss]] = {
    "builtin": builtin_loss,
    "manual": manual_loss,
}
