"""Operations that take their factor as a Python number or as a 0-d tensor, with the same bits.

An update ``p ← p − lr · g`` run step by step multiplies by a Python number. The same update captured as a graph must take
the lr as an input, a 0-d tensor, or the number of the capturing step would be frozen into it. ``*``, ``/`` and
``torch.lerp`` accept both kinds; ``torch.add(alpha=)``, ``torch.addcmul(value=)`` and ``torch.addcdiv(value=)`` accept
numbers only, so each has its twin here. The twins round alike: on the CPU, in float32 and float64, they give the same bits.

They matter for a second reason. Written as ``p − lr * g`` the update rounds twice; ``torch.add(p, g, alpha=-lr)``, which
torch's own optimizers call, rounds once (a fused multiply-add), and the last bit of many elements differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Scalar = float | Tensor
"""a Python number (or bool), or a 0-d tensor"""
Scalars = dict[str, Scalar]


def add_scaled(a: Tensor, b: Tensor, scale: Scalar) -> Tensor:
    """Return ``a + scale · b``, rounded once.

    Args:
        a: any shape.
        b: shape of ``a``.
        scale: a number, or a 0-d tensor of the dtype of ``a``.

    Returns:
        shape of ``a``.
    """
    if isinstance(scale, Tensor):
        return torch.addcmul(a, b, scale)
    return torch.add(a, b, alpha=scale)


def addcmul_scaled(a: Tensor, b: Tensor, c: Tensor, scale: Scalar) -> Tensor:
    """Return ``a + scale · b · c``, element by element.

    Args:
        a: any shape.
        b: shape of ``a``.
        c: shape of ``a``.
        scale: a number, or a 0-d tensor of the dtype of ``a``.

    Returns:
        shape of ``a``.
    """
    if isinstance(scale, Tensor):
        return torch.addcmul(a, b * scale, c)
    return torch.addcmul(a, b, c, value=scale)


def addcdiv_scaled(a: Tensor, b: Tensor, c: Tensor, scale: Scalar) -> Tensor:
    """Return ``a + scale · b / c``, element by element.

    Args:
        a: any shape.
        b: shape of ``a``.
        c: shape of ``a``.
        scale: a number, or a 0-d tensor of the dtype of ``a``.

    Returns:
        shape of ``a``.
    """
    if isinstance(scale, Tensor):
        return torch.addcdiv(a, b * scale, c)
    return torch.addcdiv(a, b, c, value=scale)


def choose(flag: Scalar, yes: Tensor, no: Tensor) -> Tensor:
    """Return ``yes`` where ``flag`` holds and ``no`` where it does not.

    Both are computed by the caller, so neither may raise; a NaN in the one that is not chosen does no harm.

    Args:
        flag: a bool, or a 0-d bool tensor.
        yes: any shape.
        no: shape of ``yes``.

    Returns:
        shape of ``yes``.
    """
    if isinstance(flag, Tensor):
        return torch.where(flag, yes, no)
    return yes if flag else no


def as_state(value: Scalar, like: Tensor) -> Tensor:
    """Return a number as a tensor that an optimizer remembers.

    Args:
        value: a number, or a 0-d tensor of any dtype.
        like: what was remembered before, shape ().

    Returns:
        shape (), dtype and device of ``like``.
    """
    if isinstance(value, Tensor):
        return value.to(like)
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def scalar_tensors(scalars: Mapping[str, Scalar], param: Tensor) -> Scalars:
    """Return each number as a 0-d tensor that a captured update takes as an input.

    Args:
        scalars: numbers and flags, as :meth:`Optimizer.scalars` gives them.
        param: the parameter they belong to.

    Returns:
        numbers in the dtype of ``param``, flags as bool, tensors in their own dtype; all on the device of ``param``.
    """
    return {
        name: value.to(param.device) if isinstance(value, Tensor) else _scalar_tensor(value, param)
        for name, value in scalars.items()
    }


def _scalar_tensor(value: float, param: Tensor) -> Tensor:
    dtype = torch.bool if isinstance(value, bool) else param.dtype
    return torch.tensor(value, dtype=dtype, device=param.device)
