"""What is right: the convolution in float64, of the operands as the kernels get them.

The library's own, which in float64 is another kernel than in float32 (written-out columns and products of matrices), a few
images at a time, so that the columns fit into the cache.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, Job, TransposedJob
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT

COLUMN_BYTES = 32 << 20
"""of the columns of the images that are convolved at once"""


@torch.no_grad()
def right(job: Job | TransposedJob, direction: str, first: Tensor, second: Tensor, bias: Tensor | None) -> Tensor:
    """Return what a kernel must return, in float64.

    Args:
        job: what is convolved.
        direction: forward, grad_input or grad_weight.
        first: the input, or grad_output; shape (N, …).
        second: the weight, or for grad_weight the input, shape (N, …).
        bias: of a forward, or None.
    """
    library = CONV_TRANSPOSE2D["aten"] if isinstance(job, TransposedJob) else CONV2D["aten"]
    size = images_at_once(job)
    parts, wide = torch.split(_in_float64(first), size), _in_float64(second)
    if direction == FORWARD:
        wide_bias = None if bias is None else _in_float64(bias)
        return torch.cat([library.forward(part, wide, wide_bias, *job.geometry) for part in parts])
    if direction == GRAD_INPUT:
        shapes = [(len(part), *job.input_shape[1:]) for part in parts]
        each = zip(parts, shapes, strict=True)
        return torch.cat([library.grad_input(part, wide, shape, *job.geometry) for part, shape in each])
    both = zip(parts, torch.split(wide, size), strict=True)
    sums = [library.grad_weight(part, other, job.weight_shape, *job.geometry) for part, other in both]
    return torch.stack(sums).sum(0)


def _in_float64(tensor: Tensor) -> Tensor:
    # Apple's devices do not know the type.
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def images_at_once(job: Job | TransposedJob) -> int:
    """Return for how many images the columns take no more than ``COLUMN_BYTES``; one at least."""
    return max(1, COLUMN_BYTES // max(1, column_bytes(job)))


def column_bytes(job: Job | TransposedJob) -> int:
    """Return how many bytes the columns of one image take, in float64."""
    windows = job.convolution.output_sizes if isinstance(job, TransposedJob) else job.output_sizes
    return 8 * math.prod(job.weight_shape[1:]) * math.prod(windows)
