"""Example calls of a rule: what they show a reader, a test runs against autograd.

``call(T(2, 3, 8, 8), T(4, 3, 3, 3), stride=2)`` is a call with two floating-point tensors of these shapes; :func:`draw` fills
them, in any dtype, the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, init=False)
class T:
    """A floating-point tensor, normally distributed, or uniform in [low, high) if these are given.

    Args:
        shape: its sizes.
        low: smallest value.
        high: bound of the values.
        constant: no gradient flows to it (running statistics, class weights).
    """

    shape: tuple[int, ...]
    low: float | None
    high: float | None
    constant: bool

    def __init__(
        self, *shape: int, low: float | None = None, high: float | None = None, constant: bool = False
    ) -> None:
        for name, value in (("shape", shape), ("low", low), ("high", high), ("constant", constant)):
            object.__setattr__(self, name, value)

    def draw(self, dtype: torch.dtype, generator: Generator) -> Tensor:
        """Return the tensor; it requires grad unless it is constant."""
        if self.low is None or self.high is None:
            drawn = torch.randn(self.shape, generator=generator, dtype=torch.float64)
        else:
            drawn = torch.rand(self.shape, generator=generator, dtype=torch.float64)
            drawn = self.low + (self.high - self.low) * drawn
        return drawn.to(dtype).requires_grad_(not self.constant)


@dataclass(frozen=True, init=False)
class Index:
    """An int64 tensor with values in [0, below): labels, or where to look something up."""

    shape: tuple[int, ...]
    below: int

    def __init__(self, *shape: int, below: int) -> None:
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "below", below)

    def draw(self, _dtype: torch.dtype, generator: Generator) -> Tensor:
        """Return the tensor."""
        return torch.randint(self.below, self.shape, generator=generator)


@dataclass(frozen=True, init=False)
class Mask:
    """A bool tensor, about half of it true."""

    shape: tuple[int, ...]

    def __init__(self, *shape: int) -> None:
        object.__setattr__(self, "shape", shape)

    def draw(self, _dtype: torch.dtype, generator: Generator) -> Tensor:
        """Return the tensor."""
        return torch.rand(self.shape, generator=generator) < 0.5


@dataclass(frozen=True)
class Example:
    """One call; build it with :func:`call`."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the call as one would write it."""
        arguments = [_written(arg) for arg in self.args]
        return ", ".join(arguments + [f"{key}={_written(value)}" for key, value in self.kwargs.items()])


def call(*args: Any, **kwargs: Any) -> Example:
    """Return an example call; :class:`T`, :class:`Index` and :class:`Mask` stand for tensors, also inside lists."""
    return Example(args, kwargs)


def draw(example: Example, dtype: torch.dtype, seed: int = 0) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with its tensors filled; the same for the same seed.

    Args:
        example: the call.
        dtype: of the floating-point tensors. They are drawn in float64 and rounded, so that two dtypes get one example.
        seed: of the draws.
    """
    generator = Generator().manual_seed(seed)

    def filled(value: Any) -> Any:
        if isinstance(value, (T, Index, Mask)):
            return value.draw(dtype, generator)
        if isinstance(value, (list, tuple)):
            return type(value)(filled(item) for item in value)
        return value

    return tuple(filled(arg) for arg in example.args), {key: filled(value) for key, value in example.kwargs.items()}


def _written(value: Any) -> str:
    if isinstance(value, (T, Index, Mask)):
        return "×".join(map(str, value.shape)) or "0-d"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    return str(value)
