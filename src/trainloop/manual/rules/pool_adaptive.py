"""Adaptive pooling: as many bins as the output has elements, whatever the size of the input.

    bin i along an axis of X elements with P bins:   start_i = ⌊i · X / P⌋ … end_i = ⌈(i + 1) · X / P⌉
    avg:  y[i] = mean of x over its bin        grad_x = Σ over the bins that contain it of g[i] / size of bin i
    max:  y[i] = maximum of x over its bin     grad_x = Σ of g over the bins whose maximum it is

Bins overlap where P does not divide X. An average over one bin is a plain mean, and that is what torch runs then.
The average's formula adds bin by bin: P steps of Python, a known inefficiency that its few bins (1 × 1, 6 × 6, 7 × 7) allow.

The forms save what those of ``pool.py`` do, and the maximum's are the same.

Legend: C channels, X… input sizes, P… output sizes, g grad_output. One axis is treated as two, the first of size 1.

Source: He et al. 2014, arXiv:1406.4729 (spatial pyramid pooling): a fixed number of bins for inputs of any size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Composite, Form, Function, Rule, Saved
from trainloop.manual.rules.pool import MaxGrads, max_pool_vjp
from trainloop.manual.windows import Sizes, per_axis

OutputSize = int | Sequence[int | None]
"""As torch takes it: one number for all axes, or one for each; None keeps the size of the input."""


def bins(size: int, num_bins: int) -> list[slice]:
    """Return where each bin begins and ends."""
    return [slice(i * size // num_bins, -(-(i + 1) * size // num_bins)) for i in range(num_bins)]


# Average


def adaptive_avg_pool(function: Function, input: Tensor, output_size: OutputSize) -> tuple[Tensor, Saved]:
    """Return the averages; saves the shape of x."""
    return function(input, output_size), (input.shape,)


def adaptive_avg_pool_vjp(num_axes: int, grad_output: Tensor, shape: Sizes) -> Tensor:
    """grad_input = Σ over the bins of g / size of the bin."""
    if is_mean(grad_output, num_axes):
        return mean_vjp(grad_output, shape, num_axes)
    grad_input = grad_output.new_zeros(shape)
    planes = (slice(None),) * (len(shape) - num_axes)
    pairs = zip(shape[-num_axes:], grad_output.shape[-num_axes:], strict=True)
    for bin in itertools.product(*(enumerate(bins(size, num_bins)) for size, num_bins in pairs)):
        share = grad_output[(*planes, *(slice(i, i + 1) for i, _elements in bin))]
        for _i, elements in bin:
            share = share / (elements.stop - elements.start)
        grad_input[(*planes, *(elements for _i, elements in bin))] += share
    return grad_input


def adaptive_avg_pool_aten(function: Function, input: Tensor, output_size: OutputSize) -> tuple[Tensor, Saved]:
    """Return the same; saves x, or only its shape where there is one bin."""
    output = function(input, output_size)
    num_axes = 2 if function is F.adaptive_avg_pool2d else 3
    return output, (None if is_mean(output, num_axes) else input, input.shape, num_axes)


def adaptive_avg_pool_vjp_aten(
    kernel: Function, grad_output: Tensor, input: Tensor | None, shape: Sizes, num_axes: int
) -> Tensor:
    """Return the same by the library's kernel, or as the gradient of a mean."""
    if input is None:
        return mean_vjp(grad_output, shape, num_axes)
    grad_input: Tensor = kernel(grad_output, input)
    return grad_input


def is_mean(output: Tensor, num_axes: int) -> bool:
    """Return whether there is one bin, which makes the average a mean over the whole plane."""
    return math.prod(output.shape[-num_axes:]) == 1


def mean_vjp(grad_output: Tensor, shape: Sizes, num_axes: int) -> Tensor:
    """grad_input = g / number of elements of a plane, at every element."""
    return grad_output.expand(shape) / math.prod(shape[-num_axes:])


# Maximum


def adaptive_max_pool(
    function: Function,
    input: Tensor,
    output_size: OutputSize,
    return_indices: bool = True,  # noqa: ARG001  # whoever called this function wants them
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """Return the maxima and where in their plane they are; saves where, and the shape of x."""
    output, indices = function(input, output_size)
    return (output, indices), (indices, input.shape)


def adaptive_max_pool_aten(
    function: Function,
    input: Tensor,
    output_size: OutputSize,
    return_indices: bool = True,  # noqa: ARG001  # as in adaptive_max_pool
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """Return the same; saves x and the indices."""
    output, indices = function(input, output_size)
    return (output, indices), (input, indices)


def adaptive_max_pool_vjp_aten(kernel: Function, grads: MaxGrads, input: Tensor, indices: Tensor) -> Tensor:
    """Return the gradient by the library's kernel."""
    grad_input: Tensor = kernel(grads[0], input, indices)
    return grad_input


# The functions that stand on these


def adaptive_avg_pool1d(input: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Pool rows of an image of height 1."""
    (num_bins,) = per_axis(output_size, 1)
    return F.adaptive_avg_pool2d(input.unsqueeze(-2), (1, num_bins)).squeeze(-2)


def adaptive_max_pool1d_with_indices(
    input: Tensor,
    output_size: int | Sequence[int],
    return_indices: bool = True,  # noqa: ARG001  # as in adaptive_max_pool
) -> tuple[Tensor, Tensor]:
    """Pool rows of an image of height 1."""
    (num_bins,) = per_axis(output_size, 1)
    output, indices = F.adaptive_max_pool2d_with_indices(input.unsqueeze(-2), (1, num_bins))
    return output.squeeze(-2), indices.squeeze(-2)


def adaptive_max_pool1d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return adaptive_max_pool1d_with_indices(input, *args, **kwargs)[0]


def adaptive_max_pool2d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return F.adaptive_max_pool2d_with_indices(input, *args, **kwargs)[0]


def adaptive_max_pool3d(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Drop the indices."""
    return F.adaptive_max_pool3d_with_indices(input, *args, **kwargs)[0]


def _avg_rule(name: str, num_axes: int, function: Function, kernel: Function, *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        forms={
            "formula": Form(partial(adaptive_avg_pool, function), partial(adaptive_avg_pool_vjp, num_axes), exact=True),
            "aten": Form(
                partial(adaptive_avg_pool_aten, function), partial(adaptive_avg_pool_vjp_aten, kernel), exact=True
            ),
        },
        examples=examples,
    )


def _max_rule(name: str, num_axes: int, function: Function, kernel: Function, *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        forms={
            "formula": Form(partial(adaptive_max_pool, function), partial(max_pool_vjp, num_axes), exact=True),
            "aten": Form(
                partial(adaptive_max_pool_aten, function), partial(adaptive_max_pool_vjp_aten, kernel), exact=True
            ),
        },
        examples=examples,
    )


_ONE_AXIS = (call(T(2, 3, 9), 4), call(T(3, 8), (2,)), call(T(2, 3, 9), 1))
_TWO_AXES = (
    call(T(2, 3, 8, 7), (3, 5)),
    call(T(2, 3, 8, 6), 2),
    call(T(2, 3, 8, 7), 1),
    call(T(3, 8, 7), (None, 1)),
    call(T(2, 3, 3, 2), 5),
    call(T(0, 3, 8, 7), 2),
)
_THREE_AXES = (
    call(T(2, 3, 4, 5, 6), (3, 2, 6)),
    call(T(3, 4, 5, 6), (1, None, 4)),
    call(T(2, 3, 4, 5, 6), 1),
)

POOL_ADAPTIVE: dict[str, Rule | Composite] = {
    "adaptive_avg_pool1d": Composite("adaptive_avg_pool1d", (F.adaptive_avg_pool1d,), adaptive_avg_pool1d, _ONE_AXIS),
    "adaptive_avg_pool2d": _avg_rule(
        "adaptive_avg_pool2d",
        2,
        F.adaptive_avg_pool2d,
        torch.ops.aten._adaptive_avg_pool2d_backward.default,
        *_TWO_AXES,
    ),
    "adaptive_avg_pool3d": _avg_rule(
        "adaptive_avg_pool3d",
        3,
        F.adaptive_avg_pool3d,
        torch.ops.aten._adaptive_avg_pool3d_backward.default,
        *_THREE_AXES,
    ),
    "adaptive_max_pool1d": Composite("adaptive_max_pool1d", (F.adaptive_max_pool1d,), adaptive_max_pool1d, _ONE_AXIS),
    "adaptive_max_pool2d": Composite("adaptive_max_pool2d", (F.adaptive_max_pool2d,), adaptive_max_pool2d, _TWO_AXES),
    "adaptive_max_pool3d": Composite("adaptive_max_pool3d", (F.adaptive_max_pool3d,), adaptive_max_pool3d, _THREE_AXES),
    "adaptive_max_pool1d_with_indices": Composite(
        "adaptive_max_pool1d_with_indices",
        (F.adaptive_max_pool1d_with_indices,),
        adaptive_max_pool1d_with_indices,
        _ONE_AXIS,
    ),
    "adaptive_max_pool2d_with_indices": _max_rule(
        "adaptive_max_pool2d_with_indices",
        2,
        F.adaptive_max_pool2d_with_indices,
        torch.ops.aten.adaptive_max_pool2d_backward.default,
        *_TWO_AXES,
    ),
    "adaptive_max_pool3d_with_indices": _max_rule(
        "adaptive_max_pool3d_with_indices",
        3,
        F.adaptive_max_pool3d_with_indices,
        torch.ops.aten.adaptive_max_pool3d_backward.default,
        *_THREE_AXES,
    ),
}
