"""From uint8 images to batches: order, augmentation, normalisation, and the split into training and validation.

The images stay on the device as bytes; each batch is picked, changed and normalised there. The order of an epoch and
every change are pure functions of (seed, epoch, index), so an epoch can be made again from any batch on, and torch's
own random streams are never touched. An image comes out bit for bit the same in a batch of any size and with any number
of threads.

Order of work on a batch: pick, flip and translate, normalise, cutout, resize to ``image_size``. Translation and cutout
are thus in pixels of the images as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.config.schema import AugmentConfig
from trainloop.data.augment import Draws, cut_holes_, draw, move_pixels, normalise
from trainloop.data.dataset import ImageSet
from trainloop.data.randomness import Stream, permutation
from trainloop.errors import ConfigError


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Args:
        x: normalised images, float32, shape (N, C, H, W), on the device.
        y: labels, int64, shape (N,), on the device.
        indices: positions in the image set, int64, shape (N,), on the device.
    """

    x: Tensor
    y: Tensor
    indices: Tensor


@dataclass(frozen=True)
class PipelineSettings:
    """How images become batches.

    Args:
        batch_size: images a batch; the last batch of an epoch may be smaller.
        mean: per channel, of images scaled to [0, 1].
        std: likewise.
        seed: of the order and the augmentation.
        augment: changes made to training images.
        image_size: side in pixels that images are resized to, or None.
        device: where the images stay and the work is done.
        channels_last: memory format of ``x``.
    """

    batch_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    image_size: int | None = None
    device: torch.device | str = "cpu"
    channels_last: bool = False

    @cached_property
    def shift(self) -> Tensor:
        """Return 255 · mean on the device, float32, shape (C, 1, 1); made once, so that a batch costs no transfer."""
        return 255 * torch.tensor(self.mean, device=self.device).view(-1, 1, 1)

    @cached_property
    def scale(self) -> Tensor:
        """Return 255 · std, likewise."""
        return 255 * torch.tensor(self.std, device=self.device).view(-1, 1, 1)


class BatchPipeline:
    """Batches of augmented training images, epoch by epoch.

    Args:
        images: the training images; moved to the device once, here.
        settings: how they become batches.
    """

    def __init__(self, images: ImageSet, settings: PipelineSettings) -> None:
        self.settings = settings
        self.images = on_device(images, settings.device)

    @property
    def num_batches(self) -> int:
        """Return the number of batches in an epoch, the last and perhaps smaller one included."""
        return -(-len(self.images) // self.settings.batch_size)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch.

        Args:
            epoch: counted from 0.
            first_batch: batches to pass over, to go on inside an epoch.

        Yields:
            batches; the same whenever the same epoch is asked for.
        """
        settings, images = self.settings, self.images
        order = permutation(len(images), seed=settings.seed, epoch=epoch, device=images.labels.device)
        height, width = images.images.shape[-2:]
        draws = draw(order, settings.augment, seed=settings.seed, epoch=epoch, size=(height, width))
        for start in range(first_batch * settings.batch_size, len(images), settings.batch_size):
            part = slice(start, start + settings.batch_size)
            yield make_batch(images, order[part], draws[part], settings)


def eval_batches(images: ImageSet, settings: PipelineSettings, *, batch_size: int) -> Iterator[Batch]:
    """Yield all images in their own order, without augmentation.

    Args:
        images: on any device; each batch is moved to the settings' device.
        settings: as for training; ``augment``, ``seed`` and ``batch_size`` are not looked at.
        batch_size: images a batch.

    Yields:
        batches.
    """
    for start in range(0, len(images), batch_size):
        indices = torch.arange(start, min(start + batch_size, len(images)), device=images.labels.device)
        x = finish(images.images[start : start + batch_size].to(settings.device), Draws(), settings)
        yield Batch(x, images.labels[indices].to(settings.device), indices.to(settings.device))


def make_batch(images: ImageSet, indices: Tensor, draws: Draws, settings: PipelineSettings) -> Batch:
    """Pick images, change them as drawn, and normalise.

    Args:
        images: on the device.
        indices: which ones, int64, shape (N,), on the device.
        draws: for these N images.
        settings: how images become batches.

    Returns:
        the batch.
    """
    picked = images.images.index_select(0, indices)
    return Batch(finish(picked, draws, settings), images.labels.index_select(0, indices), indices)


def finish(images_NCHW: Tensor, draws: Draws, settings: PipelineSettings) -> Tensor:
    """Turn picked images, uint8, shape (N, C, H, W), into a model's input, float32, resized if the settings say so."""
    x = normalise(move_pixels(images_NCHW, draws), settings.shift, settings.scale)
    if draws.hole_yx is not None:
        x = cut_holes_(x, draws.hole_yx, settings.augment.cutout)
    if settings.image_size is not None:
        x = resize(x, settings.image_size)
    return x.contiguous(memory_format=torch.channels_last) if settings.channels_last else x


def resize(x_NCHW: Tensor, image_size: int) -> Tensor:
    """Resize to a square of ``image_size`` pixels, bilinear, with a low-pass filter when the image shrinks."""
    if x_NCHW.shape[-2:] == (image_size, image_size):
        return x_NCHW
    return F.interpolate(x_NCHW, size=(image_size, image_size), mode="bilinear", antialias=True, align_corners=False)


def on_device(images: ImageSet, device: torch.device | str) -> ImageSet:
    """Return the set with its tensors on a device; nothing is copied if they are there already."""
    return ImageSet(images.images.contiguous().to(device), images.labels.to(device))


def split_validation(train: ImageSet, val_size: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Set images aside to choose by, each class in proportion to its share.

    Args:
        train: all training images.
        val_size: how many to set aside; 0 keeps all.
        seed: chooses which ones.

    Returns:
        (train, val), each in the order of the whole; the same for the same arguments.

    Raises:
        ConfigError: nothing would be left to train on.
    """
    if val_size >= len(train):
        raise ConfigError(
            "data.val_size leaves no image to train on",
            found=f"data.val_size {val_size:,}, {len(train):,} training images",
            expected=f"0 to {len(train) - 1:,}",
        )
    chosen = torch.zeros(len(train), dtype=torch.bool)
    chosen[_stratified(train.labels.cpu(), val_size, seed)] = True
    chosen = chosen.to(train.labels.device)
    return _subset(train, ~chosen), _subset(train, chosen)


def _stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """Choose ``count`` indices: shuffle, then take from each class its share, rounded by the largest remainders."""
    order = permutation(len(labels), seed=seed, epoch=0, stream=Stream.VALIDATION)
    class_sizes = labels.bincount()
    shares = (class_sizes * count) // len(labels)
    remainders = (class_sizes * count) % len(labels)
    shares[remainders.argsort(descending=True, stable=True)[: count - int(shares.sum())]] += 1
    shuffled = labels[order]
    parts = [order[shuffled == label][:share] for label, share in enumerate(shares.tolist())]
    return torch.cat(parts)


def _subset(images: ImageSet, chosen: Tensor) -> ImageSet:
    return ImageSet(images.images[chosen], images.labels[chosen])
