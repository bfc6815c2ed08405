"""Judge a model on a set of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.data.pipeline import Batch


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a set of images.

    Args:
        loss: mean cross entropy, without label smoothing.
        confusion: int64 on the CPU, shape (num_classes, num_classes); row: label, column: prediction.
    """

    loss: float
    confusion: Tensor

    @property
    def samples(self) -> int:
        """Return the number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Return the share of images classified correctly."""
        return int(self.confusion.diagonal().sum()) / max(self.samples, 1)

    def class_accuracy(self) -> list[float]:
        """Return, for each class, the share of its images classified correctly (0 for a class without images)."""
        return (self.confusion.diagonal() / self.confusion.sum(dim=1).clamp(min=1)).tolist()


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[Batch], num_classes: int) -> Evaluation:
    """Run the model over a set in evaluation mode; its training mode and its random stream stay as they were.

    Args:
        model: images (N, C, H, W) → logits (N, num_classes).
        batches: in any order.
        num_classes: number of classes.

    Returns:
        The mean loss, summed in float64 over images, and the confusion matrix.
    """
    was_training = model.training
    model.eval()
    try:
        losses: list[Tensor] = []
        counts: list[Tensor] = []
        for batch in batches:
            logits = model(batch.x).float()
            losses.append(F.cross_entropy(logits, batch.y, reduction="sum"))
            pairs = batch.y * num_classes + logits.argmax(dim=1)
            counts.append(torch.bincount(pairs, minlength=num_classes**2))
    finally:
        model.train(was_training)
    confusion = torch.stack(counts).sum(dim=0).reshape(num_classes, num_classes).cpu()
    total_loss = torch.stack(losses).double().sum().item() if losses else 0.0
    return Evaluation(loss=total_loss / max(int(confusion.sum()), 1), confusion=confusion)
