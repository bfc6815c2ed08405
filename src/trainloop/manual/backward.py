"""What ``loss.backward()`` leaves behind: the gradient of the loss in each ``param.grad``."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter


def backward(loss: Tensor, params: Iterable[Parameter]) -> None:
    """Add the gradient of ``loss`` to ``param.grad`` of every parameter that the loss depends on.

    ``param.grad ← param.grad + ∂loss/∂param``, where None counts as nothing: the first gradient is stored, later ones
    are added, and a parameter that the loss does not reach keeps what it has. The derivatives come from
    ``torch.autograd.grad``; what is written out here is what happens to them.

    Args:
        loss: a scalar, shape ().
        params: parameters of any shape; those with ``requires_grad=False`` are left out.
    """
    wanted = [param for param in params if param.requires_grad]
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(loss, wanted, allow_unused=True)
    for param, grad in zip(wanted, grads, strict=True):
        if grad is None:
            continue
        grad = _as_laid_out_as(param, grad)
        param.grad = grad if param.grad is None else param.grad + grad


def _as_laid_out_as(param: Tensor, grad: Tensor) -> Tensor:
    """Return ``grad`` with the strides of ``param``.

    ``loss.backward()`` does the same. Without it a gradient keeps the layout its kernel happened to write, and a sum
    over its elements (a norm for clipping) would add them in another order and round differently.
    """
    if grad.stride() == param.stride():
        return grad
    return torch.empty_like(param).copy_(grad)
