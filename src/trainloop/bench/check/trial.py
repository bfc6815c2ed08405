"""What a kernel is given and what it must return: operands of a case, twice, and the right results in float64.

The oracle is the library's convolution in float64, of the operands as they are after rounding to the case's type. The library
is itself among those that are checked: other algorithms and the adjoint identity say whether it is right.

An error is measured against the result's size, ‖candidate − right‖ / ‖right‖; where the terms of the sums happen to cancel,
as they may in a result of one element, against the size that sums of such terms have on the whole: ‖Σ |x|·|w|‖ / √(number of
terms).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trainloop.bench.check.kernel import Kernel
from trainloop.bench.check.shape import CONV_TRANSPOSE2D, AnyJob, Shape
from trainloop.bench.operands import OPERANDS
from trainloop.bench.problem import Problem
from trainloop.manual import conv
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT, GRAD_WEIGHT

NCHW, CHANNELS_LAST, SLICED = LAYOUTS = ("NCHW", "channels_last", "sliced")
"""how tensors of four axes lie in memory; sliced ones are part of a larger tensor whose rest is NaN"""
Operands = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One job in one direction, type and layout.

    Args:
        shape: the numbers.
        operator: conv2d or conv_transpose2d.
        direction: forward, grad_input or grad_weight.
        dtype: of all tensors.
        layout: of the tensors, one of ``LAYOUTS``.
        bias: whether a forward is given one.
        seed: of the operands' values.
        device: type of the device.
    """

    shape: Shape
    operator: str
    direction: str
    dtype: torch.dtype
    layout: str
    bias: bool = False
    seed: int = 0
    device: str = "cpu"

    @cached_property
    def job(self) -> AnyJob:
        """The job of the shape."""
        return self.shape.job(self.operator, self.dtype, self.device)

    @property
    def text(self) -> str:
        """The job in words."""
        return Problem.of(self.job, bias=self.bias).text()


@dataclass(frozen=True)
class Right:
    """What a call must return.

    Args:
        result: float64, on the CPU.
        scale: what an error in the 2-norm is measured against.
        largest: what the largest error of an element is measured against.
        library_err: the library's own error in the case's type; NaN where it cannot do the case, and in float64, where the
            library is the oracle.
    """

    result: Tensor
    scale: float
    largest: float
    library_err: float


class Trial:
    """The operands of a case for two calls of the same shapes, and what each must return.

    Args:
        case: what is tried.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.operands = [draw(case, call) for call in range(2)]
        self.right = [right(case, operands) for operands in self.operands]


def draw(case: Case, call: int) -> Operands:
    """Return the operands of a call; the same for the same case and call."""
    job = case.job
    source = torch.Generator("cpu").manual_seed(
        zlib.crc32(f"{case.seed} {call} {job.input_shape} {job.weight_shape}".encode())
    )
    shapes = {"input": job.input_shape, "weight": job.weight_shape, "grad_output": job.output_shape}
    found = {name: _normal(shapes[name], source, case) for name in OPERANDS[case.direction]}
    if case.bias:
        found["bias"] = _normal((job.output_shape[1],), source, case)
    return found


def _normal(shape: tuple[int, ...], source: torch.Generator, case: Case) -> Tensor:
    tensor = torch.randn(shape, generator=source, dtype=torch.float64, device="cpu")
    return laid_out(tensor.to(case.device, case.dtype), case.layout)


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Return a copy of a tensor in one of the ``LAYOUTS``; one of other than four axes in the usual one."""
    if tensor.dim() != 4 or layout == NCHW:
        return tensor.clone(memory_format=torch.contiguous_format)
    if layout == CHANNELS_LAST:
        return tensor.clone(memory_format=torch.channels_last)
    *outer, height, width = tensor.shape
    around = tensor.new_full((*outer, height + 1, width + 2), torch.nan)
    around[:, :, 1:, 1:-1] = tensor
    return around[:, :, 1:, 1:-1]


def call(kernel: Kernel, case: Case, operands: Operands) -> Tensor:
    """Return what the kernel returns for a case."""
    first, second = (operands[name] for name in OPERANDS[case.direction])
    job = case.job
    third: object = operands.get("bias")
    if case.direction != FORWARD:
        third = job.input_shape if case.direction == GRAD_INPUT else job.weight_shape
    function: Callable[..., Tensor] = getattr(kernel, case.direction)
    return function(first, second, third, *job.geometry)


def right(case: Case, operands: Operands) -> Right:
    """Return what a call must return, and what its errors are measured against."""
    library: Kernel = conv.CONV_TRANSPOSE2D["aten"] if case.operator == CONV_TRANSPOSE2D else conv.CONV2D["aten"]
    exact = {name: tensor.detach().cpu().double() for name, tensor in operands.items()}
    result = call(library, case, exact)
    sizes = call(library, case, {name: tensor.abs() for name, tensor in exact.items()})
    expected = sizes / math.sqrt(num_terms(case))
    scale = max(_norm(result), _norm(expected))
    largest = max(_largest(result), _largest(expected))
    found = Right(result, scale, largest, math.nan)
    if case.dtype == torch.float64:
        return found
    try:
        own = call(library, case, operands)
    except RuntimeError:  # a type that the library has no kernel for
        return found
    return Right(result, scale, largest, errors(own, found)[0])


def num_terms(case: Case) -> int:
    """Return how many products each element of the result adds up, those with zeros counted."""
    if case.direction != GRAD_WEIGHT:
        channels = case.shape.channels if case.direction == FORWARD else case.shape.out_channels
        return channels * math.prod(case.shape.kernel_size)
    images = case.job.input_shape if case.operator == CONV_TRANSPOSE2D else case.job.output_shape
    return max(1, images[0] * math.prod(images[2:]))


def errors(candidate: Tensor, right: Right) -> tuple[float, float]:
    """Return the error in the 2-norm and that of the worst element, each relative, or absolute where all should be zeros.

    Args:
        candidate: of the right shape, any type and device.
        right: what it should be.
    """
    difference = candidate.detach().cpu().double() - right.result
    return _norm(difference) / (right.scale or 1.0), _largest(difference) / (right.largest or 1.0)


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor))


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0
