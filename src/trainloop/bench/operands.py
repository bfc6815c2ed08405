"""What a kernel is given: always the same memory, with new values for every call.

A convolution is linear in both of its operands, so new values need no new right result: both operands are multiplied by
random numbers, and so is the result. Whoever keeps a result, or part of the work on an operand, by shape, by address or by
value, is wrong at the next call. Two sets of values take turns, so that no result is a multiple of the one before.
"""

from __future__ import annotations

import functools
import math
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.conv import Job, TransposedJob
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT, GRAD_WEIGHT
from trainloop.manual.windows import Sizes

OPERANDS = {FORWARD: ("input", "weight"), GRAD_INPUT: ("grad_output", "weight"), GRAD_WEIGHT: ("grad_output", "input")}
"""the tensors that each direction is given"""
LAYOUTS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}
"""memory formats by name"""
NUM_SETS = 2


@dataclass(frozen=True)
class Values:
    """Operands of one call.

    Args:
        first: the input, or grad_output.
        second: the weight, or for grad_weight the input.
        bias: of a forward that adds one.
    """

    first: Tensor
    second: Tensor
    bias: Tensor | None = None

    def laid_out(self, layout: str) -> Values:
        """Return a copy in a layout, a name of ``LAYOUTS``."""
        memory_format = LAYOUTS[layout]
        bias = None if self.bias is None else self.bias.clone()
        return Values(
            self.first.clone(memory_format=memory_format), self.second.clone(memory_format=memory_format), bias
        )


def draw(job: Job | TransposedJob, direction: str, number: int, *, seed: int, bias: bool) -> Values:
    """Return a set of values, normal, sized so that results are about 1; the same for the same arguments.

    Args:
        job: what is convolved, with type and device.
        direction: forward, grad_input or grad_weight.
        number: of the set.
        seed: of the run.
        bias: whether there is one.
    """
    key = f"{seed} {number} {direction} {job.input_shape} {job.weight_shape}"
    source = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()))
    shapes = {"input": job.input_shape, "weight": job.weight_shape, "grad_output": job.output_shape}
    first, second = (shapes[name] for name in OPERANDS[direction])
    terms = job.direct_multiplications / max(1, math.prod(result_shape(job, direction)))

    def normal(shape: Sizes, scale: float) -> Tensor:
        return torch.randn(shape, generator=source).mul_(scale).to(job.device, job.dtype)

    return Values(
        normal(first, 1.0),
        normal(second, 1 / math.sqrt(max(1.0, terms))),
        normal((job.output_shape[1],), 1.0) if bias and direction == FORWARD else None,
    )


def result_shape(job: Job | TransposedJob, direction: str) -> Sizes:
    """Return the shape of what a direction returns."""
    return {FORWARD: job.output_shape, GRAD_INPUT: job.input_shape, GRAD_WEIGHT: job.weight_shape}[direction]


class Operands:
    """The memory that a kernel is given, and the values that it finds there.

    Args:
        job: what is convolved.
        direction: forward, grad_input or grad_weight.
        sets: values to choose from.
        layout: a name of ``LAYOUTS``.
    """

    def __init__(self, job: Job | TransposedJob, direction: str, sets: Sequence[Values], layout: str) -> None:
        self.job = job
        self.direction = direction
        self._sets = [values.laid_out(layout) for values in sets]
        self._given = self._sets[0].laid_out(layout)
        self._number = 0
        self._factors = (1.0, 1.0)

    def refill(self, number: int, factors: tuple[float, float] = (1.0, 1.0)) -> float:
        """Write new values into the memory, and return by what the right result of that set is to be multiplied.

        Args:
            number: of the set; a large one counts from the beginning again.
            factors: on the two operands.
        """
        self._number, self._factors = number % len(self._sets), factors
        for (_, given), scaled in zip(self._named(self._given), self._scaled(), strict=True):
            given.copy_(scaled)
        return factors[0] * factors[1]

    def changed(self) -> str | None:
        """Return the name of an operand that is not, bit for bit, what :meth:`refill` wrote, or None."""
        for (name, given), scaled in zip(self._named(self._given), self._scaled(), strict=True):
            if not torch.equal(given, scaled):
                return name
        return None

    def bound(self, kernel: Any) -> Callable[[], object]:
        """Return a function without arguments that calls the kernel's direction with this memory."""
        third: object = self._given.bias
        if self.direction != FORWARD:
            third = self.job.input_shape if self.direction == GRAD_INPUT else self.job.weight_shape
        function = getattr(kernel, self.direction)
        return functools.partial(function, self._given.first, self._given.second, third, *self.job.geometry)

    @property
    def like(self) -> Tensor:
        """A tensor of the type and device that the result must have."""
        return self._given.first

    def _named(self, values: Values) -> list[tuple[str, Tensor]]:
        one, two = OPERANDS[self.direction]
        return [(one, values.first), (two, values.second)] + ([] if values.bias is None else [("bias", values.bias)])

    def _scaled(self) -> list[Tensor]:
        one, two = self._factors
        tensors = (tensor for _, tensor in self._named(self._sets[self._number]))
        return [tensor * factor for tensor, factor in zip(tensors, (one, two, one * two), strict=False)]


def random_factors(source: random.Random) -> tuple[float, float]:
    """Return numbers with a size from ½ to 2 and either sign."""
    one, two = (source.choice((-1, 1)) * 2 ** source.uniform(-1, 1) for _ in range(2))
    return one, two
