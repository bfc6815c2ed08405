"""One operation of a model with a mistake in it, over autograd: the library's operation, and something small done to it.

While a :class:`Deviating` mode is on, every call of an operation of one kind is carried out by :class:`_Operation`, an
``autograd.Function`` whose forward or backward the deviation has changed. All that it computes with is the library's: the rules
of this project's tape may be what a reader has broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

Kind = Literal["conv", "batch_norm", "relu", "dropout", "average", "max_pool", "linear", "gelu", "cross_entropy"]

NAMES: dict[Kind, tuple[str, ...]] = {
    "conv": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "relu": ("input", "inplace"),
    "dropout": ("input", "p", "training", "inplace"),
    "average": ("input",),
    "max_pool": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "linear": ("input", "weight", "bias"),
    "gelu": ("input",),
    "cross_entropy": ("input", "target"),
}
"""how the positional arguments of each kind are called"""
DIFFERENTIABLE = ("input", "weight", "bias")
KIND_OF: dict[str, Kind] = {
    **dict.fromkeys((f"torch.nn.functional.conv{n}d" for n in (1, 2, 3)), "conv"),
    **dict.fromkeys((f"torch.conv{n}d" for n in (1, 2, 3)), "conv"),
    "torch.nn.functional.batch_norm": "batch_norm",
    **dict.fromkeys(("torch.nn.functional.relu", "torch.relu", "torch.Tensor.relu"), "relu"),
    "torch.nn.functional.dropout": "dropout",
    **dict.fromkeys((f"torch.nn.functional.avg_pool{n}d" for n in (1, 2, 3)), "average"),
    **dict.fromkeys((f"torch.nn.functional.adaptive_avg_pool{n}d" for n in (1, 2, 3)), "average"),
    **dict.fromkeys(("torch.mean", "torch.Tensor.mean"), "average"),
    **dict.fromkeys(("torch.nn.functional.max_pool1d", "torch.nn.functional.max_pool2d"), "max_pool"),
    "torch.nn.functional.linear": "linear",
    "torch.nn.functional.gelu": "gelu",
    "torch.nn.functional.cross_entropy": "cross_entropy",
}
"""torch's name of a function → its kind; a function that is not here is never changed"""


@dataclass(frozen=True)
class Call:
    """One call of an operation.

    Args:
        kind: of the operation.
        function: of torch.
        given: its arguments by name; those without one in ``NAMES`` keep their place in ``rest``.
        rest: further positional arguments.
        noise: what a dropout multiplies its input by, drawn when the call came: 0 or 1 / (1 − p).
    """

    kind: Kind
    function: Callable[..., Any]
    given: Mapping[str, Any]
    rest: tuple[Any, ...] = ()
    noise: Tensor | None = None

    def __getitem__(self, name: str) -> Any:
        """Return an argument, None if it was not given."""
        return self.given.get(name)

    @property
    def input(self) -> Tensor:
        """Return the input."""
        found: Tensor = self.given["input"]
        return found

    def but(self, **changes: Any) -> Call:
        """Return the same call with other arguments."""
        return Call(self.kind, self.function, {**self.given, **changes}, self.rest, self.noise)

    def drawn(self) -> Call:
        """Return the same call with its noise, if it is a dropout: what it makes of ones."""
        if self.kind != "dropout":
            return self
        noise: Tensor = self.but(input=torch.ones_like(self.input)).run()
        return Call(self.kind, self.function, self.given, self.rest, noise)

    def run(self) -> Any:
        """Carry it out."""
        names = NAMES[self.kind]
        count = next((place for place, name in enumerate(names) if name not in self.given), len(names))
        positional = [self.given[name] for name in names[:count]]
        named = {name: value for name, value in self.given.items() if name not in names[:count]}
        return self.function(*positional, *self.rest, **named)

    def grads(self, grad_output: Tensor) -> dict[str, Tensor | None]:
        """Return the library's gradients, by name; changes no running statistics and draws nothing."""
        tensors = {
            name: value.detach().requires_grad_()
            for name in DIFFERENTIABLE
            if isinstance(value := self[name], Tensor) and value.is_floating_point()
        }
        still = {name: self[name].clone() for name in ("running_mean", "running_var") if isinstance(self[name], Tensor)}
        with torch.enable_grad():
            output = self.but(**tensors, **still).run()
        found = torch.autograd.grad(output, list(tensors.values()), grad_output, allow_unused=True)
        return dict(zip(tensors, found, strict=True))


Grads = dict[str, Tensor | None]
Forward = Callable[[Call], Tensor]
Backward = Callable[[Call, Tensor, Tensor], Grads]
"""(call, output, grad_output) → gradients by name"""


def right_forward(call: Call) -> Tensor:
    """Return the library's output; of a dropout, with the noise that was drawn."""
    output: Tensor = call.run() if call.noise is None else call.input * call.noise
    return output


def right_backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Return the library's gradients; of a dropout, with the noise that was drawn."""
    del output
    return call.grads(grad_output) if call.noise is None else {"input": grad_output * call.noise}


class _Operation(torch.autograd.Function):
    """An operation whose forward and backward are given."""

    @staticmethod
    def forward(ctx: Any, call: Call, forward: Forward, backward: Backward, *_tensors: Tensor) -> Tensor:
        call = call.drawn()
        output = forward(call)
        ctx.call, ctx.backward_of = call, backward
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (output,) = ctx.saved_tensors
        with torch.no_grad():
            grads = ctx.backward_of(ctx.call, output, grad_outputs[0])
        return None, None, None, *(grads.get(name) for name in _tensor_names(ctx.call))


def _tensor_names(call: Call) -> list[str]:
    return [name for name in DIFFERENTIABLE if isinstance(call[name], Tensor)]


@dataclass
class Deviating(TorchFunctionMode):
    """Carry out the operations of one kind with a mistake while a block runs.

    Args:
        kind: of the operations.
        forward: instead of the library's.
        backward: instead of the library's.
    """

    kind: Kind
    forward: Forward = right_forward
    backward: Backward = right_backward

    def __post_init__(self) -> None:
        """Set up the mode."""
        super().__init__()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out one call."""
        call = as_call(func, args, kwargs or {})
        if call is None or call.kind != self.kind:
            return func(*args, **(kwargs or {}))
        own = call.but(inplace=False) if call["inplace"] else call
        return _Operation.apply(own, self.forward, self.backward, *(own[name] for name in _tensor_names(own)))


@dataclass
class Listening(TorchFunctionMode):
    """Note which kinds of operations are called while a block runs.

    Args:
        kinds: so far.
    """

    kinds: set[Kind] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Set up the mode."""
        super().__init__()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Note one call and let it be."""
        call = as_call(func, args, kwargs or {})
        if call is not None:
            self.kinds.add(call.kind)
        return func(*args, **(kwargs or {}))


def as_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """Return a call with its arguments by name; None for a function of no kind, or on something else than real numbers."""
    kind = KIND_OF.get(resolve_name(func) or "")
    if kind is None:
        return None
    names = NAMES[kind]
    call = Call(kind, func, {**dict(zip(names, args, strict=False)), **kwargs}, args[len(names) :])
    usable = isinstance(call["input"], Tensor) and call.input.is_floating_point() and not call["return_indices"]
    return call if usable else None
