"""Convolution in one, two and three dimensions.

``aten`` calls the library's kernels: ``conv2d`` forward and ``convolution_backward`` for the gradients, with a mask of those
that somebody needs. Which algorithm they run, the library decides by shape, layout and machine. ``formula`` is
:mod:`trainloop.manual.conv.im2col`: matrix products on a written-out copy of the windows of a few images at a time. Both
save the weight, and the input only where the weight learns.

    y[n, o, p] = bias[o] + Σ_(c, k) weight[o, c, k] · x[n, c, p · stride + k · dilation − padding]
    grad_weight[o, c, k] = Σ_(n, p) grad_output[n, o, p] · x[n, c, p · stride + k · dilation − padding]
    grad_bias[o] = Σ_(n, p) grad_output[n, o, p]
    grad_x[n, c, i] = Σ grad_output[n, o, p] · weight[o, c, k] over the o, p, k with p · stride + k · dilation − padding = i

Legend: as in ``conv/im2col.py``; an input without the batch axis is a batch of one.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, for the arithmetic of shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from trainloop.manual.conv import Geometry, Job, im2col
from trainloop.manual.conv.padding import geometry_of, pad_to_even, refuse_padding
from trainloop.manual.conv.sizes import check_job
from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.windows import IntOrSizes, Sizes

Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


# The library's kernels


def conv_aten(
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Convolve by the library; saves the input if the weight needs a gradient, the weight, and the input's layout."""
    padded = pad_to_even(input, weight, padding, dilation)
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    # Arguments as they came, so that torch says what is wrong with them.
    arguments = (stride, padding, dilation, groups) if padded is input else geometry
    output = function(padded, weight, bias, *arguments)
    saved = padded if needs[1] else None
    return output, (saved, weight, padded.shape, padded.stride(), input.shape, geometry)


def conv_vjp_aten(
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor,
    shape: Sizes,
    strides: Sizes,
    unpadded_shape: Sizes,
    geometry: Geometry,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by ``convolution_backward``, those that are needed."""
    if input is None:
        input = blank(grad_output, shape, strides)
    grad_input, grad_weight, grad_bias = library_grads(grad_output, input, weight, geometry, None, needs)
    return cropped(grad_input, unpadded_shape), grad_weight, grad_bias


def blank(like: Tensor, shape: Sizes, strides: Sizes) -> Tensor:
    """Return an input that nobody saved: kernels ask for its shape and layout, and read no element without need."""
    return like.new_empty_strided(shape, strides)


def library_grads(
    grad_output: Tensor, input: Tensor, weight: Tensor, geometry: Geometry, output_padding: Sizes | None, needs: Needs
) -> Grads:
    """Return the gradients of input, weight and bias by the library's kernel, those that are needed.

    Args:
        grad_output: shape (N, G·O, P…), or without N.
        input: shape (N, G·C, X…), or without N.
        weight: shape (G·O, C, K…); of a transposed convolution (G·C, O, K…).
        geometry: of the windows.
        output_padding: of a transposed convolution, one number per axis; None for a convolution.
        needs: which of the three.
    """
    stride, padding, dilation, groups = geometry
    transposed = output_padding is not None
    num_biases = weight.shape[1] * groups if transposed else weight.shape[0]
    unbatched = input.dim() < weight.dim()
    if unbatched:
        input, grad_output = input.unsqueeze(0), grad_output.unsqueeze(0)
    shape = (stride, padding, dilation, transposed, output_padding or (0,) * len(stride), groups)
    grads: Grads = torch.ops.aten.convolution_backward.default(grad_output, input, weight, [num_biases], *shape, needs)
    return unbatch(grads[0]) if unbatched else grads[0], grads[1], grads[2]


# The formula


def conv_im2col(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Convolve by im2col; saves the input if the weight needs a gradient, and the weight if the input does."""
    refuse_padding(stride, padding)
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    unbatched = input.dim() == weight.dim() - 1
    padded = pad_to_even(input.unsqueeze(0) if unbatched else input, weight, padding, dilation)
    check_job(Job.of(padded, weight, geometry))
    output = im2col.forward(padded, weight, bias, *geometry)
    saved = (padded if needs[1] else None, weight if needs[0] else None)
    return output.squeeze(0) if unbatched else output, (*saved, padded.shape, weight.shape, input.shape, geometry)


def conv_vjp_im2col(
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    padded_shape: Sizes,
    weight_shape: Sizes,
    input_shape: Sizes,
    geometry: Geometry,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by im2col, those that are needed."""
    unbatched = len(input_shape) < len(weight_shape)
    if unbatched:
        grad_output = grad_output.unsqueeze(0)
    grad_input = None if weight is None else im2col.grad_input(grad_output, weight, padded_shape, *geometry)
    grad_weight = None if input is None else im2col.grad_weight(grad_output, input, weight_shape, *geometry)
    grad_bias = im2col.grad_bias(grad_output) if needs[2] else None
    return cropped(unbatch(grad_input) if unbatched else grad_input, input_shape), grad_weight, grad_bias


def cropped(grad_input: Tensor | None, shape: Sizes) -> Tensor | None:
    """Return the gradient of what :func:`pad_to_even` was given: without its last zeros."""
    if grad_input is None or grad_input.shape == shape:
        return grad_input
    for axis, size in enumerate(shape):
        grad_input = grad_input.narrow(axis, 0, size)
    return grad_input


def unbatch(grad_input: Tensor | None) -> Tensor | None:
    """Return the gradient of an input that had no batch axis."""
    return None if grad_input is None else grad_input.squeeze(0)


def _rule(name: str, function: Callable[..., Tensor], *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(conv_im2col, conv_vjp_im2col),
            "aten": Form(partial(conv_aten, function), conv_vjp_aten, exact=True),
        },
        examples=examples,
    )


CONV: dict[str, Rule] = {
    "conv1d": _rule(
        "conv1d",
        torch.conv1d,
        call(T(2, 4, 9), T(6, 4, 3), T(6), stride=2, padding=1),
        call(T(2, 4, 9), T(6, 2, 4), None, 1, "same", 1, 2),
        call(T(4, 9), T(6, 4, 3), padding="valid", dilation=(2,)),
    ),
    "conv2d": _rule(
        "conv2d",
        torch.conv2d,
        call(T(2, 3, 8, 7), T(4, 3, 3, 3), T(4)),
        call(T(2, 3, 8, 7), T(4, 3, 3, 3), None, (2, 1), (1, 2), (1, 2), 1),
        call(T(2, 4, 8, 8), T(8, 2, 3, 3), T(8), stride=2, padding=1, groups=2),
        call(T(2, 4, 8, 8), T(4, 1, 3, 3), T(4), padding="same", groups=4),
        call(T(2, 3, 8, 7), T(4, 3, 2, 3), T(4), padding="same"),
        call(T(2, 3, 8, 7), T(4, 3, 1, 1), padding="valid"),
        call(T(3, 8, 7), T(4, 3, 3, 3), T(4), padding=[1]),
        call(T(3, 8, 7), T(4, 3, 4, 4), padding="same"),
        call(T(0, 3, 8, 7), T(4, 3, 3, 3), T(4)),
        call(T(2, 3, 8, 7, constant=True), T(4, 3, 3, 3), T(4)),
        call(T(2, 3, 8, 7), T(4, 3, 3, 3, constant=True)),
        call(T(2, 3, 5, 5), T(4, 3, 1, 1), stride=3),
    ),
    "conv3d": _rule(
        "conv3d",
        torch.conv3d,
        call(T(2, 4, 5, 6, 7), T(6, 2, 2, 3, 3), T(6), stride=(1, 2, 1), padding=(0, 1, 1), groups=2),
        call(T(1, 3, 5, 5, 5), T(2, 3, 2, 3, 3), T(2), padding="same"),
        call(T(3, 5, 5, 5), T(2, 3, 3, 3, 3), dilation=2),
    ),
}
