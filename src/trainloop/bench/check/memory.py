"""New memory is full of NaN while kernels are checked: what reads memory that nobody wrote cannot be right by chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def filled_with_nan() -> Iterator[None]:
    """Let torch fill each tensor that is made without a value (``torch.empty``, ``new_empty``) with NaN.

    torch does so for the sake of reproducibility where deterministic algorithms are asked for; an operation that has none goes
    on as usual. Memory that a kernel asks the system for itself is not reached.
    """
    deterministic: Any = torch.utils.deterministic  # a module whose attribute is a property, which types do not show
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = before[2]
