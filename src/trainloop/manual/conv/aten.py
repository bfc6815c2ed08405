"""Convolution by the library: what every other algorithm is measured against.

``torch.conv2d`` forward and ``aten::convolution_backward`` for the gradients. Which kernel they run the library decides by
shape, memory format and machine: on the CPU oneDNN's direct convolution, or NNPACK's Winograd where oneDNN is switched off.
``trainloop benchmark-conv`` names the kernel that ran.

Cost: N · P · Q · O · C · K · L multiplications, taps on padding left out by most kernels; the workspace is the kernel's
secret, and reported as 0. Limits: half types are slow where the machine has no instructions for them; where it has them, one
narrow case in bfloat16 comes out wrong and is refused (pytorch issue 169688, oneDNN 3.12).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.job import Job
from trainloop.manual.conv.layout import new_image
from trainloop.manual.windows import Sizes


def refuses(job: Job) -> str | None:
    """Return why the library's result would be wrong, or None."""
    (_, out_channels, _, columns), channels, groups = job.output_shape, job.weight_shape[1], job.geometry.groups
    widens, stride = groups > 1 and channels == 1 and out_channels > groups, job.geometry.stride[1]
    if job.device != "cpu" or job.dtype != torch.bfloat16 or not widens or columns > 1 or stride == 1:
        return None
    return (
        "the library's result may be wrong in bfloat16 where groups of one channel have several outputs, the output has one "
        f"column and the stride is above 1, found {stride}"
    )


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return y (N, G·O, P, Q) for input (N, G·C, H, W), weight (G·O, C, K, L) and bias (G·O,)."""
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_input, of input_shape, for grad_output (N, G·O, P, Q) and weight (G·O, C, K, L)."""
    # The kernel asks an input that it does not read for its shape and layout.
    input = new_image(input_shape, grad_output)
    return _backward(grad_output, input, weight, (stride, padding, dilation, groups), (True, False, False))[0]


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_weight, of weight_shape, for grad_output (N, G·O, P, Q) and input (N, G·C, H, W)."""
    weight = input.new_empty(weight_shape)
    return _backward(grad_output, input, weight, (stride, padding, dilation, groups), (False, True, False))[1]


def _backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    geometry: tuple[Sizes, Sizes, Sizes, int],
    mask: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding, dilation, groups = geometry
    shape = (stride, padding, dilation, False, (0, 0), groups)
    grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward.default(
        grad_output, input, weight, [weight.shape[0]], *shape, mask
    )
    return grads


ATEN = Algorithm("aten", forward, grad_input, grad_weight, workspace=lambda _job, _direction: 0, refuses=refuses)
