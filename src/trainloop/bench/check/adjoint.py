"""The adjoint identity ⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩, which needs no reference: each algorithm judges the other.

In float64, with the same weight, for all pairs of a convolution and a transposed convolution. The difference of the two sides
is measured against Σ |x|·|w|·|y|, the sum of the absolute values of all products that either side adds up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.bench.check.kernel import Kernel, allowed, refusal
from trainloop.bench.check.report import Adjoint
from trainloop.bench.check.shape import CONV_TRANSPOSE2D, Shape, smaller
from trainloop.bench.check.shrink import shrink
from trainloop.bench.problem import Problem
from trainloop.manual import conv
from trainloop.manual.conv import TransposedJob


@dataclass(frozen=True)
class _Sides:
    """The identity in one job: the two sides, or what an algorithm raised instead."""

    left: float
    right: float
    scale: float
    raised: str = ""

    @property
    def error(self) -> float:
        return math.inf if self.raised else abs(self.left - self.right) / (self.scale or 1.0)

    @property
    def text(self) -> str:
        return self.raised or f"⟨conv(x), y⟩ = {self.left:.12g}, ⟨x, conv_transpose(y)⟩ = {self.right:.12g}"


def adjoints(
    convolutions: Sequence[Kernel],
    transposed: Sequence[Kernel],
    shapes: Iterable[Shape],
    seed: int,
    *,
    deadline: float = math.inf,
) -> list[Adjoint]:
    """Return the identity of each pair.

    Args:
        convolutions: algorithms.
        transposed: algorithms for the transposed convolution.
        shapes: of transposed convolutions; where an output_padding is as large as the stride, the convolution goes further
            than the identity does, and the shape is left out.
        seed: of the values.
        deadline: by ``time.perf_counter``, when to try no further job.
    """
    fitting = [shape for shape in shapes if _fits(shape)]
    return [_pair(one, other, fitting, seed, deadline) for one in convolutions for other in transposed]


def _fits(shape: Shape) -> bool:
    within = all(more < step for more, step in zip(shape.output_padding, shape.stride, strict=True))
    return within and shape.can_be(CONV_TRANSPOSE2D)


def _pair(convolution: Kernel, transposed: Kernel, shapes: Sequence[Shape], seed: int, deadline: float) -> Adjoint:
    limit = max(allowed(one, torch.float64) for one in (convolution, transposed))

    def sides(shape: Shape) -> _Sides | None:
        return _sides(convolution, transposed, shape, seed)

    def fails(shape: Shape) -> bool:
        found = sides(shape)
        return found is not None and not found.error <= limit

    jobs, worst, job, found = 0, 0.0, "", ""
    for shape in shapes:
        here = sides(shape) if time.perf_counter() < deadline else None
        if here is None:
            continue
        jobs, worst = jobs + 1, max(worst, here.error)
        if not here.error <= limit:
            shape = shrink(shape, _smaller, fails)
            here = sides(shape)
            assert here is not None
            worst, found = here.error, here.text
            job = Problem.of(shape.job(CONV_TRANSPOSE2D)).text()
            break
    return Adjoint(convolution.name, transposed.name, jobs, worst, limit, job, found)


def _smaller(shape: Shape) -> Iterator[Shape]:
    return (candidate for candidate in smaller(shape) if _fits(candidate))


@torch.no_grad()
def _sides(convolution: Kernel, transposed: Kernel, shape: Shape, seed: int) -> _Sides | None:
    """Return both sides for a job, or None where one of the two does not do it."""
    job = shape.job(CONV_TRANSPOSE2D, torch.float64)
    assert isinstance(job, TransposedJob)
    x, weight, y = _drawn((job.output_shape, job.weight_shape, job.input_shape), seed)
    geometry = job.geometry.of_convolution
    try:
        if refusal(convolution, job.convolution) is not None or refusal(transposed, job) is not None:
            return None
        convolved = convolution.forward(x, weight, None, *geometry)
        back = transposed.forward(y, weight, None, *job.geometry)
        left, right = float((convolved * y).sum()), float((x * back).sum())
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and the next pair is still to be tried
        return _Sides(math.nan, math.nan, math.nan, f"{type(error).__name__}: {error}")
    sizes = conv.CONV2D["aten"].forward(x.abs(), weight.abs(), None, *geometry)
    return _Sides(left, right, float((sizes * y.abs()).sum()))


def _drawn(shapes: Iterable[tuple[int, ...]], seed: int) -> list[Tensor]:
    source = torch.Generator("cpu").manual_seed(seed)
    return [torch.randn(shape, generator=source, dtype=torch.float64, device="cpu") for shape in shapes]
