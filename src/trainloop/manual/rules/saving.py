"""What a forward keeps for its vjp when the call overwrites its first argument."""

from __future__ import annotations

from torch import Tensor


def before(input: Tensor, inplace: bool) -> Tensor:
    """Return what ``input`` holds before the call: a copy if the call will overwrite it, else the tensor itself.

    Args:
        input: any shape.
        inplace: the call overwrites ``input``.
    """
    return input.clone() if inplace else input
