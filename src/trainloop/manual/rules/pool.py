"""Pooling over windows: the maximum, and the average.

    max:  y[p] = max_k x[p · stride + k · dilation − padding]     grad_x[i] = Σ of g over the windows whose maximum is x[i]
    avg:  y[p] = Σ_k x[p · stride + k − padding] / divisor[p]     grad_x[i] = Σ of g / divisor over the windows that see x[i]

Where elements tie, the maximum is the first of them, and of NaNs the last: both forms ask torch's own forward. The divisor
is the size of the kernel, in which padding counts unless ``count_include_pad=False``; what ``ceil_mode`` lets a window reach
beyond the padding never counts. Without a stride windows lie side by side.

Max pooling saves the indices of the maxima (int64), average pooling the shape of its input. ``aten`` saves the input itself,
as autograd does: the library's kernels ask for its layout.

Legend: N batch (may be absent), C channels, X… input sizes, K… kernel sizes, P… output sizes, g grad_output. One axis is
treated as two, the first of size 1, as in torch.

L_p pooling stands on the two: it is carried out as the operations of its formula, (Σ_k x^p)^(1/p).

Source: Boureau, Ponce & LeCun 2010, "A theoretical analysis of feature pooling in visual recognition".
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Composite, Form, Function, Rule, Saved
from trainloop.manual.windows import IntOrSizes, Sizes, crop_spatial, per_axis, scatter_windows

MaxGrads = tuple[Tensor, None]
"""The gradient of the maxima; indices have none."""


def stride_or_kernel(stride: IntOrSizes | None, kernel_size: IntOrSizes) -> IntOrSizes:
    """Return the stride; None and () stand for the size of the kernel."""
    return kernel_size if stride is None or stride in ((), []) else stride


# Max pooling


def max_pool(
    function: Function,
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,  # noqa: ARG001  # whoever called this function wants them
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """Return the maxima and where in their plane they are; saves where, and the shape of x."""
    output, indices = function(input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode)
    return (output, indices), (indices, input.shape)


def max_pool_vjp(num_axes: int, grads: MaxGrads, indices: Tensor, shape: Sizes) -> Tensor:
    """grad_input = 0, and at each maximum + g of every window that it is the maximum of."""
    planes = grads[0].new_zeros((*shape[:-num_axes], math.prod(shape[-num_axes:])))
    planes.scatter_add_(-1, indices.flatten(-num_axes), grads[0].flatten(-num_axes))
    return planes.view(shape)


def max_pool_aten(
    function: Function,
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,  # noqa: ARG001  # as in max_pool
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """Return the same; saves x, the indices and the arguments."""
    arguments = (kernel_size, () if stride is None else stride, padding, dilation, ceil_mode)
    output, indices = function(input, *arguments)
    return (output, indices), (input, indices, arguments)


def max_pool_vjp_aten(
    kernel: Function, grads: MaxGrads, input: Tensor, indices: Tensor, arguments: tuple[Any, ...]
) -> Tensor:
    """Return the same by the library's kernel."""
    grad_input: Tensor = kernel(grads[0], input, *arguments, indices)
    return grad_input


# Average pooling


def avg_pool(
    function: Function,
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Tensor, Saved]:
    """Return the averages; saves the shape of x and the arguments."""
    stride = stride_or_kernel(stride, kernel_size)
    arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return function(input, *arguments), (input.shape, *arguments)


def avg_pool_vjp(
    num_axes: int,
    grad_output: Tensor,
    shape: Sizes,
    kernel_size: IntOrSizes,
    stride: IntOrSizes,
    padding: IntOrSizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """grad_input = Σ of g / divisor over the windows that see an element; what fell on padding is cropped away."""
    sizes = shape[-num_axes:]
    kernel_size, stride, padding = (per_axis(value, num_axes) for value in (kernel_size, stride, padding))
    if divisor_override:
        share = grad_output / divisor_override
    elif ceil_mode or (any(padding) and not count_include_pad):
        share = grad_output / window_sizes(grad_output, sizes, kernel_size, stride, padding, count_include_pad)
    else:
        share = grad_output / math.prod(kernel_size)
    batched = share.view(-1, *share.shape[-num_axes - 1 :])
    reach = [(p - 1) * s + k for p, s, k in zip(share.shape[-num_axes:], stride, kernel_size, strict=True)]
    padded = tuple(max(r, size + 2 * pad) for r, size, pad in zip(reach, sizes, padding, strict=True))
    columns = batched.expand(*kernel_size, *batched.shape)
    total = scatter_windows(columns, padded, stride, (1,) * num_axes)
    return crop_spatial(total, padding, sizes).reshape(shape)


def window_sizes(
    grad_output: Tensor, sizes: Sizes, kernel_size: Sizes, stride: Sizes, padding: Sizes, count_include_pad: bool
) -> Tensor:
    """Return how many elements each window averages over, shape (P…)."""
    counts = torch.ones((), dtype=torch.int64, device=grad_output.device)
    positions = grad_output.shape[-len(sizes) :]
    for num, size, k, s, pad in zip(positions, sizes, kernel_size, stride, padding, strict=True):
        start = torch.arange(num, device=grad_output.device) * s - pad
        end = (start + k).clamp(max=size + pad)
        if not count_include_pad:
            start, end = start.clamp(min=0), end.clamp(max=size)
        counts = counts[..., None] * (end - start)
    return counts


def avg_pool_aten(
    function: Function,
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Tensor, Saved]:
    """Return the same; saves x and the arguments."""
    arguments = (kernel_size, () if stride is None else stride, padding, ceil_mode, count_include_pad, divisor_override)
    return function(input, *arguments), (input, arguments)


def avg_pool_vjp_aten(kernel: Function, grad_output: Tensor, input: Tensor, arguments: tuple[Any, ...]) -> Tensor:
    """Return the same by the library's kernel."""
    grad_input: Tensor = kernel(grad_output, input, *arguments)
    return grad_input


# The functions that stand on these


def max_pool2d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return F.max_pool2d_with_indices(input, *args, **kwargs)[0]


def max_pool3d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return F.max_pool3d_with_indices(input, *args, **kwargs)[0]


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    dilation: IntOrSizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,  # noqa: ARG001  # as in max_pool
) -> tuple[Tensor, Tensor]:
    """Pool rows of an image of height 1."""
    stride = stride_or_kernel(stride, kernel_size)
    one_by = ((1, *per_axis(kernel_size, 1)), (1, *per_axis(stride, 1)), (0, *per_axis(padding, 1)))
    image = input.unsqueeze(-2)
    output, indices = F.max_pool2d_with_indices(image, *one_by, (1, *per_axis(dilation, 1)), ceil_mode)
    return output.squeeze(-2), indices.squeeze(-2)


def max_pool1d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return max_pool1d_with_indices(input, *args, **kwargs)[0]


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    padding: IntOrSizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Pool rows of an image of height 1."""
    stride = stride_or_kernel(stride, kernel_size)
    one_by = ((1, *per_axis(kernel_size, 1)), (1, *per_axis(stride, 1)), (0, *per_axis(padding, 1)))
    return F.avg_pool2d(input.unsqueeze(-2), *one_by, ceil_mode, count_include_pad).squeeze(-2)


def lp_pool(
    num_axes: int,
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSizes,
    stride: IntOrSizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return (Σ_k x^p)^(1/p) over each window, from the average; for p = ±∞ the largest |x|, or minus the smallest.

    Raises:
        ValueError: ``norm_type`` is 0.
    """
    if norm_type == 0:
        raise ValueError(f"norm_type must be a non-zero value, but got {norm_type}")
    largest: Function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[num_axes - 1]
    average: Function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[num_axes - 1]
    if math.isinf(norm_type):
        pooled: Tensor = largest(math.copysign(1, norm_type) * input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        return pooled if norm_type > 0 else -pooled
    mean: Tensor = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (mean.sign() * mean.abs().relu()).mul(math.prod(per_axis(kernel_size, num_axes))).pow(1 / norm_type)


def _max_rule(
    name: str, num_axes: int, public: Function, native: Function, kernel: Function, *examples: Example
) -> Rule:
    return Rule(
        name,
        functions=(public,),
        forms={
            "formula": Form(partial(max_pool, native), partial(max_pool_vjp, num_axes), exact=True),
            "aten": Form(partial(max_pool_aten, native), partial(max_pool_vjp_aten, kernel), exact=True),
        },
        examples=examples,
    )


def _avg_rule(name: str, num_axes: int, function: Function, kernel: Function, *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        forms={
            "formula": Form(partial(avg_pool, function), partial(avg_pool_vjp, num_axes), exact=True),
            "aten": Form(partial(avg_pool_aten, function), partial(avg_pool_vjp_aten, kernel), exact=True),
        },
        examples=examples,
    )


_MAX_1D = (
    call(T(2, 3, 9), 2),
    call(T(2, 3, 9), 3, stride=2, padding=1),
    call(T(3, 9), (2,), (3,), dilation=2, ceil_mode=True),
)
_MAX_2D = (
    call(T(2, 3, 8, 7), 2),
    call(T(2, 3, 8, 7), 3, stride=2, padding=1),
    call(T(2, 3, 8, 7), (2, 3), (2, 1), (1, 0), (2, 1), True),
    call(T(3, 8, 7), kernel_size=3, stride=[1], ceil_mode=True),
    call(T(0, 3, 8, 7), 2),
)
_MAX_3D = (
    call(T(2, 3, 5, 6, 7), 2),
    call(T(3, 5, 6, 7), (2, 3, 2), stride=2, padding=1, ceil_mode=True),
    call(T(1, 2, 5, 6, 7), 2, 1, dilation=(1, 2, 3)),
)

POOL: dict[str, Rule | Composite] = {
    "max_pool2d_with_indices": _max_rule(
        "max_pool2d_with_indices",
        2,
        F.max_pool2d_with_indices,
        torch._C._nn.max_pool2d_with_indices,
        torch.ops.aten.max_pool2d_with_indices_backward.default,
        *_MAX_2D,
    ),
    "max_pool3d_with_indices": _max_rule(
        "max_pool3d_with_indices",
        3,
        F.max_pool3d_with_indices,
        torch._C._nn.max_pool3d_with_indices,
        torch.ops.aten.max_pool3d_with_indices_backward.default,
        *_MAX_3D,
    ),
    "max_pool1d": Composite("max_pool1d", (F.max_pool1d, torch.max_pool1d), max_pool1d, _MAX_1D),
    "max_pool2d": Composite("max_pool2d", (F.max_pool2d, torch.max_pool2d), max_pool2d, _MAX_2D),
    "max_pool3d": Composite("max_pool3d", (F.max_pool3d, torch.max_pool3d), max_pool3d, _MAX_3D),
    "max_pool1d_with_indices": Composite(
        "max_pool1d_with_indices", (F.max_pool1d_with_indices,), max_pool1d_with_indices, _MAX_1D
    ),
    "avg_pool1d": Composite(
        "avg_pool1d",
        (F.avg_pool1d,),
        avg_pool1d,
        (
            call(T(2, 3, 9), 2),
            call(T(2, 3, 9), 3, stride=2, padding=1, count_include_pad=False),
            call(T(3, 9), (4,), (3,), (2,), True),
        ),
    ),
    "avg_pool2d": _avg_rule(
        "avg_pool2d",
        2,
        F.avg_pool2d,
        torch.ops.aten.avg_pool2d_backward.default,
        call(T(2, 3, 8, 7), 2),
        call(T(2, 3, 8, 7), 3, 2, 1),
        call(T(2, 3, 8, 7), (2, 3), (3, 1), (1, 0), count_include_pad=False),
        call(T(2, 3, 8, 7), 3, stride=2, padding=1, ceil_mode=True),
        call(T(2, 3, 8, 7), 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        call(T(2, 3, 8, 7), 2, divisor_override=3),
        call(T(3, 8, 7), kernel_size=[3], ceil_mode=True),
        call(T(0, 3, 8, 7), 2),
    ),
    "avg_pool3d": _avg_rule(
        "avg_pool3d",
        3,
        F.avg_pool3d,
        torch.ops.aten.avg_pool3d_backward.default,
        call(T(2, 3, 5, 6, 7), 2),
        call(T(3, 5, 6, 7), (2, 3, 2), stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        call(T(1, 2, 5, 6, 7), 3, 1, 1, divisor_override=2),
    ),
    "lp_pool1d": Composite(
        "lp_pool1d",
        (F.lp_pool1d,),
        partial(lp_pool, 1),
        (call(T(2, 3, 8, low=0.2, high=2), 3, 2), call(T(2, 3, 8), float("inf"), 3, 2)),
    ),
    "lp_pool2d": Composite(
        "lp_pool2d",
        (F.lp_pool2d,),
        partial(lp_pool, 2),
        (
            call(T(2, 3, 8, 6, low=0.2, high=2), 1.5, (2, 3)),
            call(T(2, 3, 8, 6), 2, 3, stride=2, ceil_mode=True),
            call(T(2, 3, 8, 6), -float("inf"), 2),
        ),
    ),
    "lp_pool3d": Composite(
        "lp_pool3d",
        (F.lp_pool3d,),
        partial(lp_pool, 3),
        (call(T(2, 3, 4, 5, 6, low=0.2, high=2), 3, (2, 1, 2)),),
    ),
}
