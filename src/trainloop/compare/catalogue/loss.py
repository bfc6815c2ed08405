"""Known deviations of the loss, of a mean cross entropy with or without label smoothing.

With l = −log p of the right class and u = −Σ_k log p_k, both averaged over the images, K classes and smoothing ε, the right
loss is (1 − ε) l + ε u / K. What ε the reference has is read off its loss, which is linear in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Key

LEAST_SMOOTHING = 1e-4
"""below it, ε is a rounding error of the loss it was read off"""


@dataclass(frozen=True)
class LossScene:
    """What the loss was computed from, in float64.

    Args:
        logits: as the loss got them, shape (N, K).
        labels: right classes, shape (N,).
        smoothing: ε of the reference.
        value: the reference's loss.
    """

    logits: Tensor
    labels: Tensor
    smoothing: float
    value: float

    @property
    def log_probs(self) -> Tensor:
        """Return log p."""
        return torch.log_softmax(self.logits, 1)

    @property
    def right(self) -> float:
        """Return l."""
        return F.nll_loss(self.log_probs, self.labels).item()

    @property
    def uniform(self) -> float:
        """Return u."""
        return -self.log_probs.sum(1).mean().item()

    @property
    def num_classes(self) -> int:
        """Return K."""
        return self.logits.shape[1]


def _loss(change: Callable[[LossScene], float | None]) -> Callable[[Scene], Predicted | None]:
    """Return what computes another loss from logits and labels."""

    def predict(scene: Scene) -> Predicted | None:
        seen = loss_scene(scene)
        value = None if seen is None else change(seen)
        return None if value is None else {Key("loss"): torch.tensor(value, dtype=torch.float64)}

    return predict


def _times(factor: Callable[[int, int], float]) -> Callable[[Scene], Predicted | None]:
    """Return what multiplies the loss, whatever loss it is: (images, outputs) → factor."""

    def predict(scene: Scene) -> Predicted | None:
        value, logits = scene.reference[Key("loss")], scene.differing.record.logits
        scale = factor(len(logits), logits.shape[-1])
        return None if value is None or scale == 1 else {Key("loss"): value * scale}

    return predict


def loss_scene(scene: Scene) -> LossScene | None:
    """Return what a cross entropy was computed from; None where the reference's loss is none."""
    record = scene.differing.record
    value, logits, labels = scene.reference[Key("loss")], record.logits.double(), record.batch.y
    if value is None or logits.dim() != 2 or labels.dim() != 1 or labels.is_floating_point():
        return None
    plain = LossScene(logits, labels.to(logits.device), 0.0, value.item())
    span = plain.uniform / plain.num_classes - plain.right
    smoothing = (plain.value - plain.right) / span if span else 0.0
    if not -LEAST_SMOOTHING <= smoothing < 1:
        return None
    return LossScene(plain.logits, plain.labels, 0.0 if smoothing < LEAST_SMOOTHING else smoothing, plain.value)


def _smoothed(change: Callable[[LossScene, float], float]) -> Callable[[LossScene], float | None]:
    return lambda seen: change(seen, seen.smoothing) if seen.smoothing else None


def _over_others(seen: LossScene, eps: float) -> float:
    """ε is shared by the K − 1 wrong classes."""
    return (1 - eps) * seen.right + eps * (seen.uniform - seen.right) / (seen.num_classes - 1)


def _softmax_twice(seen: LossScene) -> float:
    probs = seen.log_probs.exp()
    return F.cross_entropy(probs, seen.labels, label_smoothing=seen.smoothing).item()


def _no_softmax(seen: LossScene) -> float:
    return F.nll_loss(seen.logits, seen.labels).item()


def _no_log(seen: LossScene) -> float:
    return F.nll_loss(seen.log_probs.exp(), seen.labels).item()


def _over_all(seen: LossScene, eps: float) -> float:
    """ε is divided by K − 1 and given to all K classes."""
    return (1 - eps) * seen.right + eps * seen.uniform / (seen.num_classes - 1)


LOSS: tuple[Deviation, ...] = (
    deviation("loss summed instead of averaged", "loss", _times(lambda images, _: images)),
    deviation("loss averaged twice", "loss", _times(lambda images, _: 1 / images)),
    deviation("loss averaged over classes too", "loss", _times(lambda _, classes: 1 / classes)),
    deviation("loss averaged over N − 1 images", "loss", _times(lambda images, _: images / max(1, images - 1))),
    deviation(
        "label smoothing over K − 1 classes instead of K",
        "loss",
        _loss(_smoothed(_over_others)),
        _loss(_smoothed(_over_all)),
    ),
    deviation("label smoothing missing", "loss", _loss(_smoothed(lambda seen, _: seen.right))),
    deviation(
        "label smoothing not taken off the right class",
        "loss",
        _loss(_smoothed(lambda seen, eps: seen.right + eps * seen.uniform / seen.num_classes)),
    ),
    deviation(
        "label smoothing summed over the classes instead of shared by them",
        "loss",
        _loss(_smoothed(lambda seen, eps: (1 - eps) * seen.right + eps * seen.uniform)),
    ),
    deviation(
        "label smoothing with ε and 1 − ε exchanged",
        "loss",
        _loss(_smoothed(lambda seen, eps: eps * seen.right + (1 - eps) * seen.uniform / seen.num_classes)),
    ),
    deviation(
        "label smoothing applied twice",
        "loss",
        _loss(_smoothed(lambda seen, eps: (1 - 2 * eps) * seen.right + 2 * eps * seen.uniform / seen.num_classes)),
    ),
    deviation("softmax applied twice", "loss", _loss(_softmax_twice)),
    deviation("softmax missing", "loss", _loss(_no_softmax)),
    deviation("logarithm missing", "loss", _loss(_no_log)),
    deviation("logarithm to the base 2", "loss", _times(lambda *_: 1 / math.log(2))),
    deviation("loss with the wrong sign", "loss", _times(lambda *_: -1.0)),
    deviation("loss halved", "loss", _times(lambda *_: 0.5)),
    deviation("loss doubled", "loss", _times(lambda *_: 2.0)),
)
