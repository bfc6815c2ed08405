"""How an image lies in memory: a result is given the memory format of the image that it is made from."""

from __future__ import annotations

import torch
from torch import Tensor


def memory_format(image: Tensor) -> torch.memory_format:
    """Return channels_last for an image (N, C, H, W) that is stored so and not in the usual format, which it else returns."""
    usual = image.dim() != 4 or image.is_contiguous()
    last = not usual and image.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
