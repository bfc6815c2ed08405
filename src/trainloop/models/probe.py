"""Ask a new model for the logits of two blank images, so that a misfit shows before the run begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

PROBE_IMAGES = 2


def probe(model: nn.Module, image_shape: tuple[int, int, int]) -> object:
    """Return what the model gives for images of zeros in evaluation mode; model and random state stay as they were.

    Layers that take their shape from the first input (``nn.LazyLinear``) have it afterwards.

    Args:
        model: on the CPU.
        image_shape: (C, H, W).

    Returns:
        the output, hopefully of shape (2, num_classes).
    """
    x = torch.zeros(PROBE_IMAGES, *image_shape)
    with torch.random.fork_rng(devices=[]), undisturbed(model), torch.no_grad():
        return model.eval()(x)


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put the training flag of each layer and the content of each buffer back at the end."""
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers() if not is_lazy(buffer)]
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag
        for buffer, content in buffers:
            buffer.copy_(content)


def misfit(output: object, num_classes: int) -> str:
    """Return what is wrong with a probe's output, or nothing if it is a row of logits for each image."""
    if not isinstance(output, Tensor):
        return f"an output of type {type(output).__name__}"
    if output.shape != (PROBE_IMAGES, num_classes):
        return f"an output of shape {tuple(output.shape)}"
    if not output.is_floating_point():
        return f"an output of dtype {output.dtype}"
    return ""
