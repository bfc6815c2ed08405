"""Normalization by size alone, without a mean: RMS norm and local response norm (``F.normalize``: ``vector_norm.py``).

    rms_norm:              r = 1 / √(E[x²] + eps) over the last axes,   y = weight · x · r
    local_response_norm:   y = x / (k + alpha · mean of x² over ``size`` neighbouring channels)^beta

Local response norm is carried out as the operations that its formula names, so the rules of these give its gradient. Here
``alpha`` weighs a mean; in the paper it weighs a sum.

The library's fused RMS norm for a GPU is not used: there the formula agrees with it up to rounding.

Legend: g grad_output, h gradient of x · r; sums and means are along the normalized axes.

Source: Zhang & Sennrich 2019, arXiv:1910.07467; Krizhevsky, Sutskever & Hinton 2012, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.windows import Sizes


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> tuple[Tensor, Saved]:
    """y = weight · x · r; saves x, r and the weight. An ``eps`` of None is that of the dtype."""
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(f"normalized_shape (={shape}) must be the last axes of input, of shape {tuple(input.shape)}")
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(f"weight has shape {tuple(weight.shape)}, expected normalized_shape (={shape})")
    axes = tuple(range(-len(shape), 0))
    mean_square = input.pow(2).mean(axes, keepdim=True)
    r = (mean_square + (torch.finfo(input.dtype).eps if eps is None else eps)).rsqrt()
    output = input * r
    return output if weight is None else output * weight, (input, weight, r, axes)


def rms_norm_vjp(
    grad_output: Tensor, input: Tensor, weight: Tensor | None, r: Tensor, axes: Sizes
) -> tuple[Tensor, Tensor | None]:
    """grad_input = h · r − x · r³ · Σ h · x / n, grad_weight = Σ g · x · r, with h = weight · g."""
    h = grad_output if weight is None else grad_output * weight
    grad_mean_square = -0.5 * (h * input).sum(axes, keepdim=True) * r.pow(3)
    num = input.numel() // max(r.numel(), 1)
    grad_input = h * r + grad_mean_square.expand(input.shape) / num * (2 * input)
    return grad_input, None if weight is None else grad_output * (input * r)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return y as at the top of this file, of an input (N, C, …) with at least one spatial axis."""
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    square = input.mul(input)
    before, after = size // 2, (size - 1) // 2
    if input.dim() == 3:
        padded = F.pad(square.unsqueeze(1), (0, 0, before, after))
        mean = F.avg_pool2d(padded, (size, 1), stride=1).squeeze(1)
    else:
        num, num_channels, height = input.shape[:3]
        planes = square.view(num, 1, num_channels, height, -1)
        padded = F.pad(planes, (0, 0, 0, 0, before, after))
        mean = F.avg_pool3d(padded, (size, 1, 1), stride=1).squeeze(1).view(input.shape)
    return input / mean.mul(alpha).add(k).pow(beta)


NORM_SCALE: dict[str, Rule | Composite] = {
    "rms_norm": Rule(
        "rms_norm",
        functions=(F.rms_norm,),
        wrt=("input", "weight"),
        forms={"formula": Form(rms_norm, rms_norm_vjp, exact=True)},
        examples=(
            call(T(2, 5, 6), (6,), T(6)),
            call(T(2, 3, 4, 5), [4, 5], T(4, 5), 0.1),
            call(T(2, 5, 6), (6,)),
            call(T(5), (5,), eps=1e-3),
            call(T(0, 5), (5,), T(5)),
        ),
    ),
    "local_response_norm": Composite(
        "local_response_norm",
        (F.local_response_norm,),
        local_response_norm,
        (
            call(T(2, 5, 4), 2),
            call(T(2, 5, 4, 3), 3, alpha=0.5, beta=0.5, k=2.0),
            call(T(2, 5, 2, 3, 2), 4),
        ),
    ),
}
