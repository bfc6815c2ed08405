"""Optimizers written out: the formula beside the line that computes it."""

from __future__ import annotations

from trainloop.manual.optim.adamw import AdamW
from trainloop.manual.optim.base import Optimizer
from trainloop.manual.optim.sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adamw": AdamW,
}

__all__ = ["OPTIMIZERS", "SGD", "AdamW", "Optimizer"]
