"""Beside the step: the exponential moving average of the weights (``train.ema_decay``), which follows ``mode``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainloop.manual.ema import moving_average


def builtin_average(means: Sequence[Tensor], params: Sequence[Tensor], decay: float) -> list[Tensor]:
    """Move each mean towards its parameter, in place, by one call over all of them."""
    means = list(means)
    torch._foreach_lerp_(means, list(params), 1 - decay)
    return means


AVERAGE: dict[str, Callable[[Sequence[Tensor], Sequence[Tensor], float], list[Tensor]]] = {
    "builtin": builtin_average,
    "manual": moving_average,
}
