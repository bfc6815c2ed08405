"""A running mean of the weights, evaluated and saved in their place.

After each update: e ← e + (1 − d)(p − e), for every floating-point parameter; buffers (batch-norm statistics are running
means already) are taken as they are. Source: Polyak & Juditsky 1992; the exponential form as in torch.optim.swa_utils.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

Average = Callable[[Sequence[Tensor], Sequence[Tensor], float], list[Tensor]]
"""means, present values, decay → new means"""


class WeightAverage:
    """Keep the exponential moving average of a model's parameters.

    Args:
        model: whose parameters are averaged; the average starts at their present values.
        decay: d, in (0, 1).
        average: computes the formula; one of ``trainloop.stages.AVERAGE``.
    """

    def __init__(self, model: nn.Module, decay: float, average: Average) -> None:
        self.decay = decay
        self._average = average
        self._params = list(model.parameters())
        self._means = [param.detach().clone() for param in self._params]

    @property
    def means(self) -> list[Tensor]:
        """Return the averages, in the order of the parameters; what is assigned takes their place."""
        return self._means

    @means.setter
    def means(self, means: Sequence[Tensor]) -> None:
        self._means = list(means)

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters into the average."""
        present: list[Tensor] = [param.data for param in self._params]
        self._means = self._average(self._means, present, self.decay)

    @contextlib.contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Put the averages into the model, and the weights back at the end."""
        weights = [param.data for param in self._params]
        self._set(self._means)
        try:
            yield
        finally:
            self._set(weights)

    def replace_weights(self) -> None:
        """Put the averages into the model for good."""
        self._set(self._means)

    def _set(self, values: list[Tensor]) -> None:
        for param, value in zip(self._params, values, strict=True):
            param.data = value
