"""A list of tensors that an update takes for one tensor.

``torch.add(a, b)`` of two lists is the list of sums. An optimizer's ``update`` is written for one parameter; given lists, its
lines run for many, each operation with one call for the whole list where torch has one (``torch._foreach_*``), and otherwise
tensor by tensor. The bits are the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

FOREACH: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.abs: torch._foreach_abs,
    torch.add: torch._foreach_add,
    torch.addcdiv: torch._foreach_addcdiv,
    torch.addcmul: torch._foreach_addcmul,
    torch.div: torch._foreach_div,
    torch.lerp: torch._foreach_lerp,
    torch.maximum: torch._foreach_maximum,
    torch.mul: torch._foreach_mul,
    torch.neg: torch._foreach_neg,
    torch.reciprocal: torch._foreach_reciprocal,
    torch.sign: torch._foreach_sign,
    torch.sqrt: torch._foreach_sqrt,
    torch.sub: torch._foreach_sub,
}
"""functions that torch has for a whole list"""


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: TensorList, *other: Any) -> Any:
        return function(self, *other)

    return method


class TensorList:
    """Several tensors in the place of one.

    Args:
        tensors: of one dtype and device.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> TensorList:
        """Call ``func`` for every tensor, with what is no list given to each."""
        del types
        kwargs = kwargs or {}
        if func in FOREACH and isinstance(args[0], TensorList) and not any(isinstance(arg, Tensor) for arg in args):
            whole = FOREACH[func]
            return cls(whole(*[arg.tensors if isinstance(arg, TensorList) else arg for arg in args], **kwargs))
        length = next(len(arg.tensors) for arg in args if isinstance(arg, TensorList))
        columns = [arg.tensors if isinstance(arg, TensorList) else [arg] * length for arg in args]
        return cls([func(*row, **kwargs) for row in zip(*columns, strict=True)])

    def __getattr__(self, name: str) -> Any:
        """Return the method that torch also has as a function, or a dtype or device that all share."""
        if name in ("dtype", "device"):
            return getattr(self.tensors[0], name)
        function = getattr(torch, name, None)
        if function is None:
            raise AttributeError(f"an update of several tensors at once has no .{name}")

        def method(*args: Any, **kwargs: Any) -> Any:
            return function(self, *args, **kwargs)

        return method

    def __rtruediv__(self, other: Any) -> Any:
        return self.reciprocal() * other

    __add__ = __radd__ = _operator(torch.add)
    __sub__ = _operator(torch.sub)
    __rsub__ = _operator(torch.rsub)
    __mul__ = __rmul__ = _operator(torch.mul)
    __truediv__ = _operator(torch.div)
    __pow__ = _operator(torch.pow)
    __neg__ = _operator(torch.neg)
    __lt__ = _operator(torch.lt)
    __le__ = _operator(torch.le)
    __gt__ = _operator(torch.gt)
    __ge__ = _operator(torch.ge)
    __eq__ = _operator(torch.eq)
    __ne__ = _operator(torch.ne)
    __hash__ = None  # type: ignore[assignment]
