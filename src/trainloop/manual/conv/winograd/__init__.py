"""Winograd's convolution, 3 × 3 taps with stride 1: 36 products where the direct sum takes 144.

Replaces ``torch.conv2d`` and its gradients for the layers that most of a CNN consists of. The idea: a tile of 4 × 4 outputs
is a product of polynomials, and polynomials can be multiplied by evaluating them at points, multiplying there, and
interpolating. At each of the 36 points the sum over channels is a matrix product over all tiles. With U = G w Gᵀ, V = Bᵀ d
B and Z = A dy Aᵀ (``points.py`` derives the matrices):

    y           = Aᵀ [Σ_c U ⊙ V] A                 for each tile
    grad_input  = the same of grad_output, with w flipped and its channels exchanged, and 2 − padding
    grad_weight = Gᵀ [Σ_tiles Z ⊙ V] G

Cost: 36 / 16 products an output and channel instead of 9, that is 4 times fewer; less where tiles do not fit (``plan.py``
mixes tiles of 4, 3 and 2: 3.8 times fewer on a map of 15, 3.6 on 7, 3.2 on 3). The transforms add some 20 operations for
each element of input and output. Memory: V and M of a block of tiles, which stays in the cache.

Limits: kernel 3 × 3, stride 1, dilation 1, float32 and float64. Groups are convolved one after the other, which is slow for
many.

Numerical caveat: points other than 0 enlarge the rounding: about twice the error of the direct sum in float32, where the
textbook's points 0, ±1, ±2 have four times. Half types would lose all but two digits, and are refused.

Two forms: ``eager.py`` is the readable one, in tensor operations; ``compiled.py`` with ``cpp/`` the fast one, for float32
on the CPU, where there is a C++ compiler. :data:`WINOGRAD` takes the fast one where it can, and its ``kernel`` says which
it was.

Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2016, arXiv:1509.09308; ``points.py`` for the
points.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT, GRAD_WEIGHT, Job
from trainloop.manual.conv.layout import laid_out
from trainloop.manual.conv.winograd import compiled, eager
from trainloop.manual.conv.winograd.plan import Case, num_points, tile_sizes
from trainloop.manual.conv.winograd.points import TAPS
from trainloop.manual.windows import Sizes


def refuses(job: Job) -> str | None:
    """Return why the job cannot be done, or None."""
    stride, _, dilation, _ = job.geometry
    if job.kernel_size != (TAPS, TAPS):
        return f"the kernel must be 3×3, found {job.kernel_size[0]}×{job.kernel_size[1]}"
    if any(step != 1 for step in stride):
        return f"stride must be 1, found {_pair(stride)}"
    if any(spread != 1 for spread in dilation):
        return f"dilation must be 1, found {_pair(dilation)}"
    if job.dtype not in (torch.float32, torch.float64):
        return f"the dtype must be float32 or float64, found {str(job.dtype).removeprefix('torch.')}: half types lose too much"
    return None


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the convolution, shape (N, G·O, P, Q), in the input's memory format.

    Args:
        input: shape (N, G·C, H, W).
        weight: shape (G·O, C, 3, 3).
        bias: shape (G·O,), or None.
        stride: (1, 1).
        padding: zeros on both sides.
        dilation: (1, 1).
        groups: G.
    """
    del stride, dilation
    form = _form(input)
    if groups == 1:
        return laid_out(form.forward(input, weight, bias, padding), input)
    biases = [None] * groups if bias is None else bias.chunk(groups)
    each = zip(input.chunk(groups, 1), weight.chunk(groups), biases, strict=True)
    return laid_out(torch.cat([form.forward(x, w, b, padding) for x, w, b in each], 1), input)


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_input, of ``input_shape``, in grad_output's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        weight: shape (G·O, C, 3, 3).
        input_shape: (N, G·C, H, W).
        stride: (1, 1).
        padding: zeros on both sides.
        dilation: (1, 1).
        groups: G.
    """
    del stride, dilation, input_shape
    form = _form(grad_output)
    if groups == 1:
        return laid_out(form.grad_input(grad_output, weight, padding), grad_output)
    each = zip(grad_output.chunk(groups, 1), weight.chunk(groups), strict=True)
    return laid_out(torch.cat([form.grad_input(dy, w, padding) for dy, w in each], 1), grad_output)


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_weight, shape (G·O, C, 3, 3), in the input's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        input: shape (N, G·C, H, W).
        weight_shape: (G·O, C, 3, 3).
        stride: (1, 1).
        padding: zeros on both sides.
        dilation: (1, 1).
        groups: G.
    """
    del stride, dilation, weight_shape
    form = _form(input)
    if groups == 1:
        grad: Tensor = form.grad_weight(grad_output, input, padding)
        return grad
    each = zip(grad_output.chunk(groups, 1), input.chunk(groups, 1), strict=True)
    return torch.cat([form.grad_weight(dy, x, padding) for dy, x in each])


def multiplications(job: Job, direction: str) -> int:
    """Return the products at the points; those of the transforms are left out."""
    sizes = job.input_shape[2:] if direction == GRAD_INPUT else job.output_sizes
    points = num_points(sizes[0]) * num_points(sizes[1])
    return job.input_shape[0] * points * job.weight_shape[0] * job.weight_shape[1]


def workspace(job: Job, direction: str) -> int:
    """Return the bytes beside arguments and result, for one group, and for the result's parts where there are several."""
    num, groups = job.input_shape[0], job.geometry.groups
    channels, out_channels = job.weight_shape[1], job.weight_shape[0] // groups
    sizes, padding, outputs = job.input_shape[2:], job.geometry.padding, job.output_sizes
    if direction == GRAD_INPUT:
        channels, out_channels = out_channels, channels
        sizes, outputs, padding = outputs, sizes, tuple(TAPS - 1 - pad for pad in padding)
    if compiled.why_not(job.dtype, job.device) is None:
        case = Case(num, channels, out_channels, sizes, padding)
        space = compiled.workspace(case, GRAD_WEIGHT if direction == GRAD_WEIGHT else FORWARD)
    else:
        space = eager.workspace(num, channels, out_channels, outputs, job.dtype.itemsize)
    # Arguments and results in the other memory format are copied; of groups also the parts that are joined.
    elements = num * (channels * sizes[0] * sizes[1] + out_channels * outputs[0] * outputs[1])
    copies = 1 if groups == 1 else 2 * groups
    return space + (copies * elements + groups * channels * out_channels * TAPS**2) * job.dtype.itemsize


def kernel(job: Job, direction: str) -> str:
    """Return which tiles and which form."""
    sizes = job.input_shape[2:] if direction == GRAD_INPUT else job.output_sizes
    tiles = "+".join(f"F({size})" for size in sorted({*tile_sizes(sizes[0]), *tile_sizes(sizes[1])}, reverse=True))
    reason = compiled.why_not(job.dtype, job.device)
    return f"{tiles}, C++ {compiled.instructions()}" if reason is None else f"{tiles}, tensor operations: {reason}"


def _form(tensor: Tensor) -> ModuleType:
    """Return the module of the fast form, or of the readable one where the fast one cannot be had."""
    return compiled if compiled.why_not(tensor.dtype, tensor.device.type) is None else eager


def _pair(numbers: Sizes) -> str:
    return "×".join(map(str, numbers))


WINOGRAD = Algorithm("winograd", forward, grad_input, grad_weight, workspace, multiplications, refuses, kernel)
