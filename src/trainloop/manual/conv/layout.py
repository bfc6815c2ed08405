"""How an image lies in memory: a result is given the memory format of the image that it is made from."""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.windows import Sizes


def memory_format(image: Tensor) -> torch.memory_format:
    """Return channels_last for an image (N, C, H, W) that is stored so and not in the usual format, which it else returns."""
    usual = image.dim() != 4 or image.is_contiguous()
    last = not usual and image.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def new_image(shape: Sizes, like: Tensor) -> Tensor:
    """Return an image or a weight of that shape, not yet filled, in dtype, device and memory format as ``like``."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format(like))


def laid_out(result: Tensor, like: Tensor) -> Tensor:
    """Return ``result`` in the memory format of ``like``; itself if it is."""
    return result.contiguous(memory_format=memory_format(like))


def grouped(image: Tensor, groups: int) -> Tensor:
    """Return a view of an image (N, G·C, H, W) with the groups apart, (N, G, C, H, W)."""
    num, channels, *sizes = image.shape
    return image.view(num, groups, channels // groups, *sizes)
