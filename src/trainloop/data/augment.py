"""Changes made to training images: flip, translate, cutout, normalise, each for a whole batch at once.

Idea: flip and translate only move pixels, so together they are one table that says, for every pixel of the output,
which pixel of the input it shows. One ``gather`` then moves all pixels of a batch while they are still bytes, the
cheapest moment. What happens to an image depends on its draws alone, never on the batch it comes in.

Order: flip, translate (the border is reflected), normalise, cutout (with 0, which now is the mean colour).

Cost: three passes over the bytes and three over the float32 values, plus 8 bytes of table for each pixel position.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.config.schema import AugmentConfig
from trainloop.data.randomness import Stream, random_bits, random_integers


@dataclass(frozen=True)
class Draws:
    """What chance decided for each image; None where the config leaves nothing to chance.

    Args:
        flip: bool, shape (N,): mirror left and right.
        shift_yx: int64, shape (N, 2): how far down and right the window moves over the image, in pixels.
        hole_yx: int64, shape (N, 2): the centre of the square that is cut out.
    """

    flip: Tensor | None = None
    shift_yx: Tensor | None = None
    hole_yx: Tensor | None = None

    def __getitem__(self, part: slice) -> Draws:
        """Return the draws of a run of images."""
        return Draws(*(None if draw is None else draw[part] for draw in (self.flip, self.shift_yx, self.hole_yx)))


def draw(indices: Tensor, config: AugmentConfig, *, seed: int, epoch: int, size: tuple[int, int]) -> Draws:
    """Decide what happens to each image in an epoch.

    Args:
        indices: which images, int64, shape (N,).
        config: which changes are made.
        seed: of the run.
        epoch: counted from 0.
        size: (height, width) of the images.

    Returns:
        the draws, in the order of ``indices``, on its device.
    """

    def pair(streams: tuple[Stream, Stream], lows: tuple[int, int], highs: tuple[int, int]) -> Tensor:
        axes = zip(streams, lows, highs, strict=True)
        return torch.stack(
            [random_integers(indices, low, high, seed=seed, epoch=epoch, stream=stream) for stream, low, high in axes],
            1,
        )

    shift, (height, width) = config.translate, size
    return Draws(
        flip=_draw_flip(indices, config.flip, seed=seed, epoch=epoch),
        shift_yx=pair((Stream.SHIFT_Y, Stream.SHIFT_X), (-shift, -shift), (shift, shift)) if shift else None,
        hole_yx=pair((Stream.HOLE_Y, Stream.HOLE_X), (0, 0), (height - 1, width - 1)) if config.cutout else None,
    )


def _draw_flip(indices: Tensor, flip: str, *, seed: int, epoch: int) -> Tensor | None:
    """Decide which images are mirrored.

    ``alternating``: a coin for each image in epoch 0, and the other side in every second epoch from then on. So two
    epochs in a row show both sides of every image, which independent coins do not promise.

    Source: Jordan 2024, arXiv:2404.00498, on alternating flip.
    """
    if flip == "none":
        return None
    if flip == "random":
        return random_bits(indices, seed=seed, epoch=epoch, stream=Stream.FLIP) < 0
    coin = random_bits(indices, seed=seed, epoch=0, stream=Stream.FLIP) < 0
    return coin ^ bool(epoch % 2)


def move_pixels(images_NCHW: Tensor, draws: Draws) -> Tensor:
    """Flip and translate.

    Args:
        images_NCHW: any dtype, shape (N, C, H, W), contiguous.
        draws: for N images.

    Returns:
        images, dtype and shape of the input; the input itself when nothing moves.
    """
    if draws.flip is None and draws.shift_yx is None:
        return images_NCHW
    count, channels, height, width = images_NCHW.shape
    source_NHW = source_positions(draws, count, (height, width), images_NCHW.device)
    source = source_NHW.view(count, 1, height * width).expand(count, channels, height * width)
    return images_NCHW.view(count, channels, height * width).gather(2, source).view_as(images_NCHW)


def source_positions(draws: Draws, count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Return where each output pixel comes from: y · W + x in the input, int64, shape (N, H, W)."""
    height, width = size
    y_NH = torch.arange(height, device=device).expand(count, height)
    x_NW = torch.arange(width, device=device).expand(count, width)
    if draws.shift_yx is not None:
        y_NH = reflect(y_NH + draws.shift_yx[:, :1], height)
        x_NW = reflect(x_NW + draws.shift_yx[:, 1:], width)
    if draws.flip is not None:
        x_NW = torch.where(draws.flip[:, None], width - 1 - x_NW, x_NW)
    return y_NH[:, :, None] * width + x_NW[:, None, :]


def reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0, …, size − 1 back inside, as mirrors standing on the first and the last pixel would.

    The border pixel itself is not repeated: −1 becomes 1. Positions far outside are folded more than once.
    """
    period = max(2 * (size - 1), 1)
    positions = positions % period
    return torch.minimum(positions, period - positions)


def normalise(images_NCHW: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return (pixel − shift) / scale.

    Args:
        images_NCHW: uint8, shape (N, C, H, W).
        shift: 255 · mean, float32, shape (C, 1, 1).
        scale: 255 · std, likewise.

    Returns:
        x_NCHW, float32, shape of the images.
    """
    return images_NCHW.float().sub_(shift).div_(scale)


def cut_holes_(x_NCHW: Tensor, hole_yx: Tensor, side: int) -> Tensor:
    """Set a square of each image to 0, in place; the part of it that lies outside the image is lost.

    Args:
        x_NCHW: normalised images, float32, shape (N, C, H, W).
        hole_yx: centres (with an even side, the pixel right of and below the middle), int64, shape (N, 2).
        side: of the square, in pixels.

    Returns:
        the input.

    Source: DeVries & Taylor 2017, arXiv:1708.04552, section 3.2.
    """
    first_yx = hole_yx - side // 2
    y = torch.arange(x_NCHW.shape[2], device=x_NCHW.device) - first_yx[:, :1]
    x = torch.arange(x_NCHW.shape[3], device=x_NCHW.device) - first_yx[:, 1:]
    inside_NHW = ((y >= 0) & (y < side))[:, :, None] & ((x >= 0) & (x < side))[:, None, :]
    return x_NCHW.masked_fill_(inside_NHW[:, None], 0.0)
