"""Labels: where the classes lie in a tensor, what a label may be, and what one that may not is told.

Legend: N batch, K classes, D any number of further dimensions (none, or height and width, …).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor


class Labels(NamedTuple):
    """What the formulas need of labels, each of shape (N, D).

    Args:
        used: the labels, int64, with 0 in the place of those to ignore.
        ignored: true where a label equals ignore_index.
        weight: the weight of the label's class, 0 where ignored.
    """

    used: Tensor
    ignored: Tensor
    weight: Tensor

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor, weight_K: Tensor | None, ignore_index: int) -> Labels:
        """Read labels; ``scores`` lends its dtype."""
        labels = labels.long()
        ignored = labels == ignore_index
        used = labels.masked_fill(ignored, 0)
        if weight_K is None:
            weight = torch.ones_like(used, dtype=scores.dtype)
        else:
            weight = weight_K.gather(0, used.flatten()).view_as(used)
        return cls(used, ignored, weight.masked_fill(ignored, 0))


def class_dim(scores: Tensor) -> int:
    """Return the dimension of the classes: 0 of (K,), 1 of (N, K, D)."""
    return 0 if scores.dim() == 1 else 1


def weight_over_classes(weight_K: Tensor, scores: Tensor) -> Tensor:
    """Return the weights with dimensions of size 1 around them, so that they broadcast over (N, K, D)."""
    sizes = [1] * scores.dim()
    sizes[class_dim(scores)] = weight_K.numel()
    return weight_K.view(sizes)


def check_labels(scores: Tensor, labels: Tensor, weight_K: Tensor | None) -> None:
    """Check shapes and dtypes of class labels.

    Raises:
        ValueError: scores without classes; labels of another shape than (N, D); not one weight for each class.
        TypeError: labels are not int64 or uint8; weights of another dtype than the scores.
    """
    if scores.dim() == 0:
        raise ValueError("the input has shape (), expected (K,), (N, K) or (N, K, d1, …) with K classes")
    dim = class_dim(scores)
    expected = tuple(scores.shape[:dim] + scores.shape[dim + 1 :])
    one_label_alone = scores.dim() == 1 and labels.numel() == 1
    if tuple(labels.shape) != expected and not one_label_alone:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, expected {expected} for an input of {_shape(scores)}"
        )
    if labels.dtype not in (torch.int64, torch.uint8):
        raise TypeError(
            f"labels have dtype {labels.dtype}, expected torch.int64 (or torch.uint8); class probabilities would have the "
            f"input's shape, {tuple(scores.shape)}"
        )
    check_class_weight(scores, weight_K)
    if weight_K is not None and weight_K.dtype != scores.dtype:
        raise TypeError(f"weight has dtype {weight_K.dtype}, expected that of the input, {scores.dtype}")


def check_class_weight(scores: Tensor, weight_K: Tensor | None) -> None:
    """Check that there is one weight for each class.

    Raises:
        ValueError: there is not.
    """
    num_classes = scores.shape[class_dim(scores)]
    if weight_K is not None and tuple(weight_K.shape) != (num_classes,):
        raise ValueError(
            f"weight has shape {tuple(weight_K.shape)}, expected ({num_classes},): one number for each of the "
            f"{num_classes} classes"
        )


@contextmanager
def label_errors(scores: Tensor, labels: Tensor, ignore_index: int) -> Iterator[None]:
    """Turn a kernel's complaint about an index into one about the label; looks at the values only once that has happened.

    Raises:
        IndexError: a label is negative, or not below the number of classes, and is not ignore_index.
    """
    try:
        yield
    except (IndexError, RuntimeError) as error:
        num_classes = scores.shape[class_dim(scores)]
        wrong = labels[(labels.long() != ignore_index) & ((labels < 0) | (labels >= num_classes))]
        if not wrong.numel():
            raise
        raise IndexError(
            f"label {int(wrong.flatten()[0])} is out of range: an input of {_shape(scores)} has {num_classes} classes, "
            f"numbered from 0, and ignore_index is {ignore_index}"
        ) from error


def _shape(scores: Tensor) -> str:
    return f"shape {tuple(scores.shape)}"
