"""What ``optimizer.zero_grad()`` does: forget the gradients of the last step."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn import Parameter


def zero_grad(params: Iterable[Parameter]) -> None:
    """Set the gradient of each parameter to None.

    None and not zero: the next backward then stores its gradient instead of adding to zeros, and a parameter that the
    loss does not reach stays None, so that the optimizer leaves it alone (a zero gradient would still decay it and
    move it along its momentum).

    Args:
        params: parameters of any shape.
    """
    for param in params:
        param.grad = None
