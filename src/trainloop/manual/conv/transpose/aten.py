"""Transposed convolution by the library: what the other forms are measured against.

``torch.conv_transpose2d`` forward and ``aten::convolution_backward`` for the gradients. On the CPU oneDNN runs the backward
kernels of the convolution that this is the transpose of, forward its gradient of the input.

Cost: N · H · W · C · O · K · L multiplications; the workspace is the kernel's secret, and reported as 0. Limits: half types
are slow where the machine has no instructions for them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.conv.layout import new_image
from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.job import TransposedGeometry
from trainloop.manual.windows import Sizes


def forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return y (N, G·O, P, Q) for input (N, G·C, H, W), weight (G·C, O, K, L) and bias (G·O,)."""
    return torch.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def grad_input(
    grad_output: Tensor,
    weight: Tensor,
    input_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return grad_input, of input_shape, for grad_output (N, G·O, P, Q) and weight (G·C, O, K, L)."""
    # The kernel asks an input that it does not read for its shape and layout.
    input = new_image(input_shape, grad_output)
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    return _backward(grad_output, input, weight, geometry, (True, False, False))[0]


def grad_weight(
    grad_output: Tensor,
    input: Tensor,
    weight_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Return grad_weight, of weight_shape, for grad_output (N, G·O, P, Q) and input (N, G·C, H, W)."""
    weight = input.new_empty(weight_shape)
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    return _backward(grad_output, input, weight, geometry, (False, True, False))[1]


def _backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    geometry: TransposedGeometry,
    mask: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding, output_padding, groups, dilation = geometry
    shape = (stride, padding, dilation, True, output_padding, groups)
    grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward.default(
        grad_output, input, weight, [grad_output.shape[1]], *shape, mask
    )
    return grads


ATEN = TransposedAlgorithm("aten", forward, grad_input, grad_weight, workspace=lambda _job, _direction: 0)
