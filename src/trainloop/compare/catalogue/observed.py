"""The change of one tensor from the reference to the candidate, against which predictions are held."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Observed:
    """One tensor on both sides.

    Args:
        reference: float64, or None for a gradient that is not there.
        candidate: likewise.
        noise: what a change has to exceed.
    """

    reference: Tensor | None
    candidate: Tensor | None
    noise: float
    is_visible: bool = field(init=False)
    """whether the two differ by more than noise"""
    _change: Tensor | None = field(init=False, default=None)
    _norm: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Measure the change once, for every prediction is held against it."""
        one, two = self.reference, self.candidate
        if one is None or two is None or one.shape != two.shape:
            self.is_visible = one is not two
            return
        change = two - one
        if not bool(change.isfinite().all()):
            self.is_visible = True
            return
        self._change, self._norm = change, _norm(change)
        self.is_visible = _largest(change) > self.noise

    def residual(self, predicted: Tensor | None) -> float | None:
        """Return ‖d − d'‖ / max(‖d‖, ‖d'‖) for the observed change d and the predicted one d'; None where both are noise.

        Args:
            predicted: what a deviation makes of the reference.
        """
        if self._change is None or predicted is None or self.reference is None:
            return self._without_numbers(predicted)
        if predicted.shape != self.reference.shape:
            return 1.0
        expected = predicted.double().to(self.reference.device) - self.reference
        if not bool(expected.isfinite().all()):
            return 1.0
        if not self.is_visible and _largest(expected) <= self.noise:
            return None
        return _norm(self._change - expected) / max(self._norm, _norm(expected))

    def _without_numbers(self, predicted: Tensor | None) -> float | None:
        """Compare what is missing or no number: it is explained by the same missing at the same place."""
        candidate = self.candidate
        if candidate is None or predicted is None:
            explained = candidate is predicted
            return None if explained and self.reference is None else float(not explained)
        if candidate.shape != predicted.shape:
            return 1.0
        if self.reference is None or self._change is not None:
            gap = (candidate - predicted.double()).abs()
            return float(not bool((gap <= self.noise).all()))
        return float(not torch.equal(candidate.isfinite(), predicted.isfinite()))


def _norm(tensor: Tensor) -> float:
    norm: float = torch.linalg.vector_norm(tensor).item()
    return norm


def _largest(tensor: Tensor) -> float:
    return tensor.abs().max().item() if tensor.numel() else 0.0
