"""Correct before fast: what can be wrong with what a kernel returned, and with what it did beside returning it.

    relative error = ‖result − right‖ / ‖right‖,

in the 2-norm, with the float64 result as what is right, which for float32 (and half types) is rounded to float32: that adds
2e-8 to errors of 2e-7 and more, at right angles. One wrong element among n makes it about 1 / √n, so that a bound of 2e-5
finds it among a thousand million. A NaN or an infinity makes it NaN, which is below no bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.bench.operands import LAYOUTS, Operands, result_shape
from trainloop.manual.conv import Job, TransposedJob
from trainloop.manual.conv.job import FORWARD
from trainloop.manual.conv.sizes import AXES, output_size_equation
from trainloop.manual.conv.transpose.sizes import transposed_size_equation
from trainloop.manual.windows import Sizes
from trainloop.tolerance import tolerance

CHUNK = 1 << 20
"""elements that are compared at once"""


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a type, such as float32."""
    return str(dtype).removeprefix("torch.")


def allowed_error(dtype: torch.dtype) -> float:
    """Return the largest relative error of a right result, from the table of tolerances."""
    return tolerance(dtype_name(dtype), "timed convolution").rtol


def fault_of_type(result: object, operands: Operands) -> str | None:
    """Return what is wrong before any value is looked at, or None."""
    if type(result) is not Tensor:
        return f"it returned a {type(result).__name__} instead of a tensor"
    expected = result_shape(operands.job, operands.direction)
    if tuple(result.shape) != expected:
        arithmetic = _arithmetic(operands.job) if operands.direction == FORWARD else ""
        return f"it returned the shape {tuple(result.shape)}, expected {expected}{arithmetic}"
    like = operands.like
    if result.dtype != like.dtype:
        return f"it returned {dtype_name(result.dtype)}, expected {dtype_name(like.dtype)}"
    if result.device != like.device:
        return f"it returned a tensor on {result.device}, expected {like.device}"
    return None


def fault_of_operands(operands: Operands) -> str | None:
    """Return that an operand is not what it was, or None."""
    name = operands.changed()
    return None if name is None else f"it changed its {name}, which belongs to the caller"


def fault_of_values(result: Tensor, error: float) -> str | None:
    """Return what is wrong with values whose relative error is known, or None.

    Args:
        result: what the kernel returned.
        error: its relative error.
    """
    allowed = allowed_error(result.dtype)
    if error <= allowed:
        return None
    wrong = int((~torch.isfinite(result)).sum())
    if wrong:
        return f"{wrong:,} of {result.numel():,} elements are NaN or infinite"
    zeros = ", all elements are 0" if not bool(result.any()) else ""
    return f"relative error {error:.1e}, at most {allowed:.0e} is allowed{zeros}"


class Right:
    """What a result must be, in a layout.

    Args:
        exact: in float64.
        like: of the type and device of the results.
        layout: of the results, a name of ``LAYOUTS``.
    """

    def __init__(self, exact: Tensor, like: Tensor, layout: str) -> None:
        wide = torch.promote_types(like.dtype, torch.float32)
        self.values = exact.to(like.device, wide, memory_format=LAYOUTS[layout])
        self.norm = math.sqrt(sum(map(_square, self._parts(exact))))

    def relative_error(self, result: Tensor, factor: float = 1.0) -> float:
        """Return ‖result − factor · right‖ / ‖factor · right‖; where nothing but zeros is right, the absolute error.

        Args:
            result: of the same shape.
            factor: on what is right.
        """
        pairs = zip(self._parts(result.detach()), self._parts(self.values), strict=True)
        off = math.sqrt(sum(_square(torch.sub(got.to(right.dtype), right, alpha=factor)) for got, right in pairs))
        return off / (abs(factor) * self.norm) if self.norm else off

    def _parts(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return a tensor of this shape cut along its first axis, so that the parts stay in the cache."""
        return torch.split(tensor, max(1, CHUNK * len(tensor) // max(1, tensor.numel())))


def _square(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor)) ** 2


def _arithmetic(job: Job | TransposedJob) -> str:
    """Return how the sizes of the output come about."""
    height, width = job.input_shape[2:]
    axes = (0,) if _alike(job) else (0, 1)
    return "".join(f"; {_equation(job, axis, (height, width)[axis])}" for axis in axes)


def _alike(job: Job | TransposedJob) -> bool:
    geometry = job.geometry
    pairs: list[Sizes] = [job.input_shape[2:], job.kernel_size, geometry.stride, geometry.padding, geometry.dilation]
    return all(one == two for one, two in pairs)


def _equation(job: Job | TransposedJob, axis: int, size: int) -> str:
    geometry = job.geometry
    numbers = {
        "stride": geometry.stride[axis],
        "padding": geometry.padding[axis],
        "dilation": geometry.dilation[axis],
    }
    if isinstance(job, TransposedJob):
        more = job.geometry.output_padding[axis]
        return transposed_size_equation(AXES[axis + 1], size, job.kernel_size[axis], output_padding=more, **numbers)
    return output_size_equation(AXES[axis + 1], size, job.kernel_size[axis], **numbers)
