"""Convolution and transposed convolution: forward and gradients, both memory formats, against whole numbers."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from trainloop.doctor.answer import Answer, Numbers, whole_numbers
from trainloop.doctor.kernels.gradients import gradients
from trainloop.doctor.layouts import FORMATS, Layout
from trainloop.doctor.whole_numbers import WIDE, Ints, Pair, Windows, convolve, correlate, scatter, some_numbers

X86 = {"x86_64", "AMD64"}


@dataclass(frozen=True)
class Case:
    """One convolution.

    Args:
        name: what is particular about it.
        input_shape: (N, C, H, W).
        weight_shape: (O, C / groups, K, L), or transposed (C, O / groups, K, L).
        windows: stride, padding, dilation, groups.
        output_padding: of a transposed one.
        transforms: the CPU may compute it by a transform with fractions.
    """

    name: str
    input_shape: tuple[int, int, int, int]
    weight_shape: tuple[int, int, int, int]
    windows: Windows
    output_padding: Pair = (0, 0)
    transforms: bool = False


@dataclass(frozen=True)
class Right:
    """Operands and results of a convolution, all of them whole numbers.

    Args:
        x, w, bias, grad_output: operands.
        output, grad_input, grad_weight, grad_bias: results.
    """

    x: Ints
    w: Ints
    bias: Ints
    grad_output: Ints
    output: Ints
    grad_input: Ints
    grad_weight: Ints

    @property
    def grad_bias(self) -> Ints:
        """Return the sum of grad_output over images and positions."""
        return np.asarray(self.grad_output.sum(axis=(0, 2, 3)))


# 16 images or a stride take oneDNN whatever the number of threads; two images of a 3×3 take NNPACK on one thread.
CONV2D = (
    Case("3×3, 16 images", (16, 16, 4, 4), (16, 16, 3, 3), Windows(padding=(1, 1))),
    Case("3×3, 2 images", (2, 16, 7, 5), (16, 16, 3, 3), Windows(padding=(1, 1)), transforms=True),
    Case("3 channels", (16, 3, 6, 6), (16, 3, 3, 3), Windows(padding=(1, 1))),
    Case("1×1, stride 2", (2, 16, 5, 5), (24, 16, 1, 1), Windows(stride=(2, 2))),
    Case("depthwise", (2, 8, 6, 5), (8, 1, 3, 3), Windows(padding=(1, 1), groups=8)),
    Case("3×2, 2 groups", (2, 16, 9, 8), (16, 8, 3, 2), Windows((2, 1), (2, 1), (1, 1), 2)),
)
CONV_TRANSPOSE2D = (
    Case("2×2, stride 2", (2, 16, 3, 4), (16, 8, 2, 2), Windows(stride=(2, 2))),
    Case("3×3, output_padding", (16, 6, 3, 4), (6, 4, 3, 3), Windows((2, 2), (1, 1)), (1, 1)),
    Case("3×2, 2 groups", (2, 16, 4, 3), (16, 8, 3, 2), Windows((3, 2), (1, 1), (1, 1), 2), (2, 1)),
)
# At their first use oneDNN writes machine code for these, which takes as long as all other checks together.
RARE_CONV2D = (
    Case("dilated", (2, 16, 9, 8), (16, 8, 3, 2), Windows((2, 1), (2, 1), (2, 3), 2)),
    Case("groups of 3 channels", (2, 6, 9, 8), (4, 3, 3, 2), Windows((1, 2), (0, 1), (1, 1), 2)),
)
RARE_CONV_TRANSPOSE2D = (
    Case("dilated", (2, 16, 4, 3), (16, 8, 3, 2), Windows((3, 2), (1, 1), (1, 2), 2), (2, 1)),
    Case("groups of 3 channels", (2, 6, 4, 3), (6, 2, 3, 2), Windows((1, 2), (0, 1), (1, 1), 2)),
)


def conv2d(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of convolutions."""
    for case in CONV2D:
        yield from _convolution(case, device)


def conv_transpose2d(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of transposed convolutions."""
    for case in CONV_TRANSPOSE2D:
        yield from _transposed(case, device)


def rare_convolutions(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of convolutions that few networks have."""
    for case in RARE_CONV2D:
        yield from _convolution(case, device)
    for case in RARE_CONV_TRANSPOSE2D:
        yield from _transposed(case, device)


def _convolution(case: Case, device: torch.device) -> Iterator[Answer]:
    right = right_conv2d(case)
    for layout in FORMATS:
        x, w, bias = (_operand(values, layout, device) for values in (right.x, right.w, right.bias))
        stride, padding, dilation, groups = _arguments(case)
        with torch.enable_grad():
            output = F.conv2d(x, w, bias, stride, padding, dilation, groups)
        yield from _answers("conv2d", case, layout, right, (output, x, w, bias))


def _transposed(case: Case, device: torch.device) -> Iterator[Answer]:
    right = right_conv_transpose2d(case)
    for layout in FORMATS:
        x, w, bias = (_operand(values, layout, device) for values in (right.x, right.w, right.bias))
        stride, padding, dilation, groups = _arguments(case)
        with torch.enable_grad():
            output = F.conv_transpose2d(x, w, bias, stride, padding, case.output_padding, groups, dilation)
        yield from _answers("conv_transpose2d", case, layout, right, (output, x, w, bias))


def right_conv2d(case: Case) -> Right:
    """Return operands and results of a convolution."""
    x, w = WIDE * some_numbers(case.input_shape, 1), some_numbers(case.weight_shape, 2)
    bias = some_numbers((len(w),), 3)
    output = convolve(x, w, case.windows)
    grad = some_numbers(output.shape, 4)
    grad_input = scatter(grad, w, (x.shape[2], x.shape[3]), case.windows)
    grad_weight = correlate(grad, x, (w.shape[2], w.shape[3]), case.windows)
    return Right(x, w, bias, grad, output + bias[:, None, None], grad_input, grad_weight)


def right_conv_transpose2d(case: Case) -> Right:
    """Return operands and results of a transposed convolution: the adjoint of the convolution with the same weight."""
    x, w = WIDE * some_numbers(case.input_shape, 5), some_numbers(case.weight_shape, 6)
    bias = some_numbers((w.shape[1] * case.windows.groups,), 7)
    height, width = (_transposed_size(case, x, axis) for axis in (0, 1))
    output = scatter(x, w, (height, width), case.windows)
    grad = some_numbers(output.shape, 8)
    grad_weight = correlate(x, grad, (w.shape[2], w.shape[3]), case.windows)
    return Right(x, w, bias, grad, output + bias[:, None, None], convolve(grad, w, case.windows), grad_weight)


def _transposed_size(case: Case, x_NCHW: Ints, axis: int) -> int:
    windows = case.windows
    taps = windows.dilation[axis] * (case.weight_shape[2 + axis] - 1)
    steps: int = (x_NCHW.shape[2 + axis] - 1) * windows.stride[axis]
    return steps - 2 * windows.padding[axis] + taps + case.output_padding[axis] + 1


def _arguments(case: Case) -> tuple[Pair, Pair, Pair, int]:
    windows = case.windows
    return windows.stride, windows.padding, windows.dilation, windows.groups


def _may_transform(case: Case) -> bool:
    """Say whether the CPU may compute a case by a transform: without oneDNN NNPACK is asked; on ARM oneDNN itself has one."""
    onednn = torch.backends.mkldnn
    direct = onednn.is_available() and onednn.enabled and platform.machine() in X86  # type: ignore[no-untyped-call]
    return case.transforms or not direct


def _operand(values: Numbers, layout: Layout, device: torch.device) -> torch.Tensor:
    """Return a leaf with those values; a bias has no memory format."""
    place = layout if values.ndim == 4 else FORMATS[0]
    return place.place(values, device)[1].requires_grad_()


def _answers(
    kernel: str, case: Case, layout: Layout, right: Right, tensors: tuple[torch.Tensor, ...]
) -> Iterator[Answer]:
    """Yield the output and the three gradients.

    Args:
        kernel: name of the function.
        case: that was computed.
        layout: of the operands.
        right: results.
        tensors: the output, the input, the weight and the bias.
    """
    output, *leaves = tensors
    what, allowed = (
        f"{kernel} {case.name}, {layout.name}",
        whole_numbers(output.device, transforms=_may_transform(case)),
    )
    yield Answer(f"{what}, output", output, right.output, allowed)
    _, grad_output = layout.place(right.grad_output, output.device)
    results = {"grad_input": right.grad_input, "grad_weight": right.grad_weight, "grad_bias": right.grad_bias}
    for (name, expected), found in zip(results.items(), gradients(output, grad_output, leaves), strict=True):
        yield Answer(f"{what}, {name}", found, expected, allowed)
