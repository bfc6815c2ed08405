"""What is checked: an ``Algorithm``, a ``TransposedAlgorithm``, or any object with the same functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from trainloop.bench.check.shape import CONV2D, CONV_TRANSPOSE2D, AnyJob
from trainloop.bench.verify import dtype_name
from trainloop.manual.conv import TransposedAlgorithm
from trainloop.tolerance import tolerance


class Kernel(Protocol):
    """An algorithm.

    It may have a function ``refuses``, job → the reason or None, and ``transposed = True`` if it is one for conv_transpose2d. A
    direction that there is not is a function with an attribute ``missing``, the reason.
    """

    @property
    def name(self) -> str:
        """What the report calls it."""

    @property
    def forward(self) -> Callable[..., Tensor]:
        """As that of ``Algorithm`` or ``TransposedAlgorithm``."""

    @property
    def grad_input(self) -> Callable[..., Tensor]:
        """As that of ``Algorithm`` or ``TransposedAlgorithm``."""

    @property
    def grad_weight(self) -> Callable[..., Tensor]:
        """As that of ``Algorithm`` or ``TransposedAlgorithm``."""


def operator_of(kernel: Kernel) -> str:
    """Return conv2d or conv_transpose2d."""
    transposed = isinstance(kernel, TransposedAlgorithm) or getattr(kernel, "transposed", False)
    return CONV_TRANSPOSE2D if transposed else CONV2D


def missing(kernel: Kernel, direction: str) -> str | None:
    """Return why a kernel does not have a direction, or None."""
    reason: str | None = getattr(getattr(kernel, direction), "missing", None)
    return reason


def refusal(kernel: Kernel, job: AnyJob) -> str | None:
    """Return why a kernel does not do a job, in its own words, or None; raises what the kernel raises."""
    refuses: Callable[[AnyJob], str | None] | None = getattr(kernel, "refuses", None)
    return None if refuses is None else refuses(job)


def allowed(kernel: Kernel, dtype: torch.dtype) -> float:
    """Return the largest relative error in the 2-norm, out of the table of tolerances.

    A kernel that says winograd in its name is held to the line for Winograd, any other to that for convolutions.
    """
    family = "winograd" if "winograd" in kernel.name.lower() else "convolution"
    return tolerance(dtype_name(dtype), family).rtol
