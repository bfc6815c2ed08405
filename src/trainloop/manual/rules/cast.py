"""Copies in another dtype, device or memory layout, and copies as they are: the gradient goes back the way the input came.

The tape itself brings a gradient back to the dtype of its input. What is returned unchanged, ``x.to(x.dtype)`` for instance, is
the same value and needs no node; the tape sees that.

Legend: x input, y output, g grad_output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Function, Rule, Saved


def clone(input: Tensor, *, memory_format: torch.memory_format = torch.preserve_format) -> tuple[Tensor, Saved]:
    """y = x, in memory of its own; saves the device."""
    return input.clone(memory_format=memory_format), (input.device,)


def contiguous(input: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, Saved]:
    """y = x, laid out in that order in memory; saves the device."""
    return input.contiguous(memory_format=memory_format), (input.device,)


def to(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Saved]:
    """y = x in another dtype, device or layout; saves the device."""
    return input.to(*args, **kwargs), (input.device,)


def type_as(input: Tensor, other: Tensor) -> tuple[Tensor, Saved]:
    """y = x in the dtype and on the device of ``other``; saves the device."""
    return input.type_as(other), (input.device,)


def cast(method: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Saved]]:
    """Return the forward of ``Tensor.float`` and its like; it saves the device."""

    def forward(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Saved]:
        return method(input, *args, **kwargs), (input.device,)

    return forward


def cast_vjp(grad_output: Tensor, device: torch.device) -> Tensor:
    """grad_input = g, on the device of x."""
    return grad_output.to(device)


def _cast(name: str, method: Function) -> Rule:
    return Rule(name, (method,), {"formula": Form(cast(method), cast_vjp, exact=True)}, (call(T(2, 3)),))


CAST: Mapping[str, Rule | Composite] = {
    "clone": Rule(
        "clone",
        functions=(torch.clone, Tensor.clone),
        forms={"formula": Form(clone, cast_vjp, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3, 4, 4), memory_format=torch.channels_last)),
    ),
    "contiguous": Rule(
        "contiguous",
        functions=(Tensor.contiguous,),
        forms={"formula": Form(contiguous, cast_vjp, exact=True)},
        examples=(call(T(2, 3)), call(T(2, 3, 4, 4), memory_format=torch.channels_last)),
    ),
    "to": Rule(
        "to",
        functions=(Tensor.to,),
        forms={"formula": Form(to, cast_vjp, exact=True)},
        examples=(
            call(T(2, 3), torch.float64),
            call(T(2, 3), "cpu"),
            call(T(2, 3), dtype=torch.float32, copy=True),
            call(T(2, 3), T(1, constant=True)),
            call(T(2, 3, 4, 4), memory_format=torch.channels_last),
        ),
    ),
    "type_as": Rule(
        "type_as",
        functions=(Tensor.type_as,),
        forms={"formula": Form(type_as, cast_vjp, exact=True)},
        examples=(call(T(2, 3), T(1, constant=True)),),
    ),
    "type": Rule(
        "type",
        functions=(Tensor.type,),
        forms={"formula": Form(cast(Tensor.type), cast_vjp, exact=True)},
        examples=(call(T(2, 3), torch.float64), call(T(2, 3), "torch.FloatTensor")),
    ),
    "float": _cast("float", Tensor.float),
    "double": _cast("double", Tensor.double),
    "half": _cast("half", Tensor.half),
    "bfloat16": _cast("bfloat16", Tensor.bfloat16),
    "cpu": _cast("cpu", Tensor.cpu),
}
