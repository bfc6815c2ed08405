"""The exponential moving average of the weights: what ``torch._foreach_lerp_(means, params, 1 − decay)`` does.

    e ← e + (1 − d)(p − e)          for every parameter p and its mean e, with decay d

Early weights fade by a factor d at every step, so e is the mean of about the last 1 / (1 − d) steps: it follows the weights
and leaves out their jitter. ``lerp`` rounds in another way than the formula does when it is written with ``+`` and ``*``: for
weights 1 − d ≥ ½ it counts back from p, as p − d (p − e), so that e becomes exactly p for d = 0.

Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the exponential form as in
``torch.optim.swa_utils``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def moving_average(means: Sequence[Tensor], params: Sequence[Tensor], decay: float) -> list[Tensor]:
    """Return the means after one more step, changing nothing in place.

    Args:
        means: of each parameter, any shapes.
        params: present values, of the same shapes.
        decay: d, in [0, 1].

    Returns:
        tensors of the same shapes.

    Raises:
        ValueError: the decay is out of range, or the numbers of means and parameters differ.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], found {decay}")
    if len(means) != len(params):
        raise ValueError(f"every parameter needs its mean, found {len(means)} means for {len(params)} parameters")
    with torch.no_grad():
        return [torch.lerp(mean, param, 1 - decay) for mean, param in zip(means, params, strict=True)]
