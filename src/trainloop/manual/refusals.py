"""What a tape can never record and must not ignore, each refused by name; and what needs no rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainloop.manual.errors import RefusedError
from trainloop.manual.rule import Function
from trainloop.manual.where import called_by_compiler, function_name, module_path


def getter(name: str) -> Function:
    """Return what reading a property of a tensor reaches a tape as, ``Tensor.data.__get__`` for instance."""
    function: Function = getattr(Tensor, name).__get__
    return function


def setter(name: str) -> Function:
    """Return what setting a property of a tensor reaches a tape as, ``Tensor.requires_grad.__set__`` for instance."""
    function: Function = getattr(Tensor, name).__set__
    return function


GRADIENT_FREE: frozenset[Function] = frozenset(
    {
        Tensor.detach,
        Tensor.detach_,
        torch.detach,
        getter("data"),
        getter("grad"),
        Tensor.requires_grad_,
        torch.zeros_like,
        torch.ones_like,
        torch.empty_like,
        torch.full_like,
        torch.rand_like,
        torch.randn_like,
        torch.randint_like,
        torch.bernoulli,
        Tensor.bernoulli,
        Tensor.new_tensor,
        Tensor.new_empty,
        Tensor.new_empty_strided,
        Tensor.new_zeros,
        Tensor.new_ones,
        Tensor.new_full,
    }
)
"""Functions whose floating-point output is a constant under autograd too."""

MAKES_CONSTANT: frozenset[Function] = frozenset({Tensor.detach_, Tensor.requires_grad_, setter("requires_grad")})
"""Functions that can make a constant of their argument itself."""

REFUSED: dict[Function, str] = {
    Tensor.backward: "call tape.backward(loss), after the `with` block",
    Tensor.register_hook: "a hook on an intermediate tensor belongs to autograd; the tape calls none",
    Tensor.numpy: "a numpy array carries no gradient; detach() the tensor first",
    Tensor.__array__: "a numpy array carries no gradient; detach() the tensor first",
    Tensor.retain_grad: "the tape keeps no gradient of intermediates; tape.gradients(loss, [tensor]) gives that of a leaf",
}


def refuse_call(func: Function, tensor: Tensor, kwargs: dict[str, Any]) -> None:
    """Refuse autocast, compiled modules, ``out=`` and the functions of :data:`REFUSED`.

    Raises:
        RefusedError: with the reason.
    """
    if torch.is_autocast_enabled(tensor.device.type):
        raise RefusedError(
            f"autocast is on in {module_path()}: a tape records the dtypes it sees, and mixed precision belongs to "
            "the builtin path (mode builtin, or precision fp32)"
        )
    if called_by_compiler():
        raise RefusedError(
            f"{function_name(func)} in {module_path()} runs inside torch.compile: a compiled module hides its operations from "
            "the tape; record the module itself (its `_orig_mod`), or use the builtin path"
        )
    if kwargs.get("out") is not None:
        raise RefusedError(
            f"{function_name(func)} with out= in {module_path()}: autograd cannot record it either; drop out="
        )
    if func in REFUSED:
        raise RefusedError(f"{function_name(func)} in {module_path()}: {REFUSED[func]}")


def refuse_leaf(tensor: Tensor) -> None:
    """Refuse a tensor that autograd made, and a parameter with hooks, which the tape would not call.

    Raises:
        RefusedError: with the reason.
    """
    if not tensor.is_leaf:
        assert tensor.grad_fn is not None
        raise RefusedError(
            f"a tensor of shape {tuple(tensor.shape)} that reached {module_path()} was made by {tensor.grad_fn.name()}, "
            "outside this tape: by a custom autograd.Function, a scripted or compiled module, an extension, in another "
            "thread, or before the `with` block; write that part in torch functions inside the block, or detach() the tensor"
        )
    if tensor.is_complex():
        raise RefusedError(
            f"a complex parameter of shape {tuple(tensor.shape)} used in {module_path()}: the rules are those of real numbers; "
            "keep real and imaginary part in two parameters, or use the builtin path"
        )
    if tensor._backward_hooks or tensor._post_accumulate_grad_hooks:
        raise RefusedError(
            f"a parameter of shape {tuple(tensor.shape)} used in {module_path()} has a gradient hook, which the tape would not "
            "call; remove it, or use the builtin path"
        )
