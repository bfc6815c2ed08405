"""What a data set is once it is read: two sets of uint8 images with labels, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels.

    Args:
        images: uint8, shape (N, C, H, W).
        labels: int64, shape (N,), each in [0, num_classes).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return N."""
        return self.labels.shape[0]


@dataclass(frozen=True)
class Dataset:
    """A data set in memory, on the CPU.

    Args:
        name: as in ``data.dataset``.
        classes: names in label order.
        train: images to learn from.
        test: images to judge by, once, at the end.
        mean: per channel, of the training images scaled to [0, 1].
        std: likewise.
        digest: SHA-256 (hex) that identifies the content.
        source: where it was read from, for the header and ``env.json``.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    source: str
