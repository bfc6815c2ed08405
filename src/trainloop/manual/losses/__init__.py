"""The losses, written out: each file holds a loss as a formula in tensor operations, and its vjp beside it.

They can be called as they are, inside a :class:`~trainloop.manual.Tape` (which records the operations they are made of) or
outside. ``rules/loss.py`` makes them the rules of ``torch.nn.functional.cross_entropy`` and its kin, so that a model's own
call of the loss comes here too.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from trainloop.manual.losses.bce import binary_cross_entropy, binary_cross_entropy_with_logits
from trainloop.manual.losses.cross_entropy import cross_entropy
from trainloop.manual.losses.l1 import l1_loss
from trainloop.manual.losses.mse import mse_loss
from trainloop.manual.losses.nll import nll_loss
from trainloop.manual.losses.smooth_l1 import huber_loss, smooth_l1_loss

LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "nll_loss": nll_loss,
    "mse_loss": mse_loss,
    "l1_loss": l1_loss,
    "smooth_l1_loss": smooth_l1_loss,
    "huber_loss": huber_loss,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "binary_cross_entropy": binary_cross_entropy,
}

__all__ = [
    "LOSSES",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]
