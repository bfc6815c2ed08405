"""Transposed convolution in one, two and three dimensions: the gradient of a convolution's input, used as a forward.

    y[n, o, p · stride + k · dilation − padding] += Σ_c weight[c, o, k] · x[n, c, p]        (+ bias[o])
    size of y = (X − 1) · stride − 2 · padding + dilation · (K − 1) + 1 + output_padding

A convolution with the same weight, stride, padding and dilation maps y's shape to x's. Its three directions, with the roles
of input and grad_output exchanged, are the three directions here, so ``formula`` is :mod:`trainloop.manual.conv.im2col`
again, at the same cost in time and memory:

    y = conv.grad_input(x, weight);   grad_x = conv.forward(g, weight);   grad_weight = conv.grad_weight(x, g)

``output_padding`` chooses among the sizes that the convolution maps to X: it adds elements at the end of y that few windows
or none reach. ``aten`` calls the library's kernels. Saved are the weight, and the input only where the weight learns.

Legend: N batch, C in_channels, O out_channels, X… input sizes, K… kernel sizes, g grad_output.

Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, arXiv:1603.07285, chapter 4.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.conv import Geometry, TransposedGeometry, TransposedJob, im2col
from trainloop.manual.conv.padding import geometry_of
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Form, Function, Needs, Rule, Saved
from trainloop.manual.rules.conv import Grads, blank, cropped, library_grads, unbatch
from trainloop.manual.windows import IntOrSizes, Sizes, per_axis


def conv_transpose_aten(
    function: Function,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Convolve by the library; saves the input if the weight needs a gradient, the weight, and the input's layout."""
    output = function(input, weight, bias, stride, padding, output_padding, groups, dilation)
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    output_padding = per_axis(output_padding, weight.dim() - 2)
    return output, (input if needs[1] else None, weight, input.shape, input.stride(), geometry, output_padding)


def conv_transpose_vjp_aten(
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor,
    shape: Sizes,
    strides: Sizes,
    geometry: Geometry,
    output_padding: Sizes,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by ``convolution_backward``, those that are needed."""
    if input is None:
        input = blank(grad_output, shape, strides)
    return library_grads(grad_output, input, weight, geometry, output_padding, needs)


def conv_transpose_im2col(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Convolve by im2col; saves the input if the weight needs a gradient, and the weight if the input does."""
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    output_padding = per_axis(output_padding, weight.dim() - 2)
    unbatched = input.dim() == weight.dim() - 1
    batch = input.unsqueeze(0) if unbatched else input
    transposed = TransposedGeometry(geometry.stride, geometry.padding, output_padding, groups, geometry.dilation)
    job = TransposedJob.of(batch, weight, transposed)
    check_transposed_job(job)
    padded = pad_positions(batch, geometry, output_padding)
    output = im2col.grad_input(padded, weight, job.output_shape, *geometry)
    if bias is not None:
        output = output + bias.view(-1, *(1 for _axis in job.output_sizes))
    saved = (padded if needs[1] else None, weight if needs[0] else None, input.shape, weight.shape, geometry)
    return output.squeeze(0) if unbatched else output, saved


def conv_transpose_vjp_im2col(
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    input_shape: Sizes,
    weight_shape: Sizes,
    geometry: Geometry,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by im2col, those that are needed."""
    unbatched = len(input_shape) < len(weight_shape)
    if unbatched:
        grad_output = grad_output.unsqueeze(0)
    grad_input = None if weight is None else im2col.forward(grad_output, weight, None, *geometry)
    grad_weight = None if input is None else im2col.grad_weight(input, grad_output, weight_shape, *geometry)
    grad_bias = im2col.grad_bias(grad_output) if needs[2] else None
    return cropped(unbatch(grad_input) if unbatched else grad_input, input_shape), grad_weight, grad_bias


def pad_positions(input: Tensor, geometry: Geometry, output_padding: Sizes) -> Tensor:
    """Add zeros to the input for the windows that fit into ``output_padding`` whole, where dilation > stride allows them."""
    more = [extra // step for extra, step in zip(output_padding, geometry.stride, strict=True)]
    return F.pad(input, [amount for num in reversed(more) for amount in (0, num)]) if any(more) else input


def _rule(name: str, function: Function, *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(conv_transpose_im2col, conv_transpose_vjp_im2col),
            "aten": Form(partial(conv_transpose_aten, function), conv_transpose_vjp_aten, exact=True),
        },
        examples=examples,
    )


CONV_TRANSPOSE: dict[str, Rule] = {
    "conv_transpose1d": _rule(
        "conv_transpose1d",
        torch.conv_transpose1d,
        call(T(2, 4, 5), T(4, 6, 3), T(6), stride=2, padding=1, output_padding=1),
        call(T(4, 5), T(4, 3, 2), None, 1, 0, 0, 2),
    ),
    "conv_transpose2d": _rule(
        "conv_transpose2d",
        torch.conv_transpose2d,
        call(T(2, 3, 5, 4), T(3, 4, 3, 3), T(4)),
        call(T(2, 3, 5, 4), T(3, 4, 2, 3), None, (2, 3), (0, 1), (1, 2), 1, (1, 2)),
        call(T(2, 4, 5, 4), T(4, 3, 3, 3), T(6), stride=2, padding=1, output_padding=1, groups=2),
        call(T(2, 4, 5, 4), T(4, 1, 2, 2), T(4), stride=[2], groups=4),
        call(T(2, 3, 5, 4), T(3, 4, 3, 3), T(4), padding=1, output_padding=1, dilation=2),
        call(T(3, 5, 4), T(3, 4, 3, 3), T(4)),
        call(T(0, 3, 5, 4), T(3, 4, 3, 3), T(4)),
        call(T(2, 3, 5, 4, constant=True), T(3, 4, 3, 3), T(4)),
        call(T(2, 3, 5, 4), T(3, 4, 3, 3, constant=True)),
    ),
    "conv_transpose3d": _rule(
        "conv_transpose3d",
        torch.conv_transpose3d,
        call(
            T(2, 4, 3, 2, 3),
            T(4, 3, 2, 3, 2),
            T(6),
            stride=(1, 2, 2),
            padding=(0, 1, 0),
            output_padding=(0, 1, 1),
            groups=2,
        ),
        call(T(3, 3, 2, 3), T(3, 2, 2, 2, 2), dilation=2),
    ),
}
