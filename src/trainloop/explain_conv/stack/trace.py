"""Follow the receptive field through a forward pass: every torch function that the model calls says what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainloop.explain_conv.stack import field as arithmetic
from trainloop.explain_conv.stack.field import Field
from trainloop.explain_conv.stack.operations import (
    ADAPTIVE,
    ARGUMENTS,
    ENDS,
    INTERPOLATE,
    POINTWISE,
    Plane,
    indexed,
    join_planes,
    named_arguments,
    padded,
    permuted,
    plain_name,
    reshaped,
    resized,
    tensors_of,
    windowed,
)
from trainloop.explain_conv.stack.results import Row, Stack
from trainloop.manual.where import function_name, module_path
from trainloop.manual.windows import Sizes
from trainloop.models.probe import undisturbed


def trace(model: nn.Module, input_shape: Sizes, name: str) -> Stack:
    """Run a model on an image of zeros, and return its sizes and receptive fields; the model stays as it was.

    Args:
        model: on the CPU.
        input_shape: (C, H, W), or (C, W).
        name: of the model, for the result.
    """
    x = torch.zeros(1, *input_shape)
    places = tuple(range(2, x.dim()))
    follower = Follower(x, Plane(places, tuple(Field(size) for size in input_shape[1:])))
    with undisturbed(model), torch.random.fork_rng(devices=[]), torch.no_grad():
        model.eval()
        with follower:
            model(x)
    return Stack(name, input_shape, tuple(follower.rows), follower.last, follower.end, follower.not_followed)


Known = tuple[Tensor, Plane]


class Follower(TorchFunctionMode):
    """While it is active, each function's output gets the plane that its inputs' planes become.

    Args:
        x: the image, shape (1, C, H, W).
        plane: of it.
    """

    def __init__(self, x: Tensor, plane: Plane) -> None:
        super().__init__()
        # By identity; the tensors are kept, so that their place in memory is not given to others.
        self._planes: dict[int, Known] = {id(x): (x, plane)}
        self._numbers: dict[int, Known] = {}
        self._mixed: dict[int, Tensor] = {}
        self.rows: list[Row] = []
        self.last: tuple[Field, ...] = plane.fields
        self.end: Row | None = None
        self.not_followed = ""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function, and note what it makes of the planes that go into it."""
        del types
        kwargs = kwargs or {}
        inputs = tensors_of((*args, *kwargs.values()))
        planes = [self._planes[id(tensor)] for tensor in inputs if id(tensor) in self._planes]
        numbers = [self._numbers[id(tensor)][1] for tensor in inputs if id(tensor) in self._numbers]
        mixed = any(id(tensor) in self._mixed for tensor in inputs)
        result = function(*args, **kwargs)
        outputs = tensors_of(result)
        if mixed:
            self._mix(outputs)
        elif outputs and planes:
            self._follow(plain_name(function_name(function)), Called(args, kwargs, planes, numbers, outputs))
        elif numbers:
            self._end(numbers[0], outputs)
        return result

    def _follow(self, name: str, called: Called) -> None:
        before, output = called.planes[0][1], called.outputs[0]
        after: Plane | None
        if name in ARGUMENTS:
            sizes = tuple(output.shape[dim] for dim in before.dims)
            after, words = windowed(name, before, named_arguments(name, called.args, called.kwargs), sizes)
        else:
            after, words = called.moved(name), "slice" if name == "__getitem__" else name
        if after is None:
            self._lose(name, before, called.outputs)
            return
        extents = {int(known.fields[-1].extent) for _, known in called.planes}
        if name in ARGUMENTS or after.fields != before.fields or len(extents) > 1:
            branches = tuple(sorted(extents)) if len(extents) > 1 else ()
            self.rows.append(Row(module_path(), words, _channels(output, after), after.fields, branches))
        self.last = after.fields
        for tensor in called.outputs:
            self._planes[id(tensor)] = (tensor, after)

    def _lose(self, name: str, before: Plane, outputs: list[Tensor]) -> None:
        """Note that a plane ends here in single numbers, or that it is mixed in a way that is not followed."""
        if name in ENDS and (outputs[0].dim() <= 2 or _shrunk(before, outputs[0])):
            together = tuple(field.all_together for field in before.fields)
            self.end = Row(module_path(), name, _channels(outputs[0], Plane((), ())), together)
            self._end(Plane((), together), outputs)
            return
        self.not_followed = self.not_followed or f"{name} in {module_path()}"
        self._mix(outputs)

    def _end(self, plane: Plane, outputs: list[Tensor]) -> None:
        self._numbers.update((id(tensor), (tensor, plane)) for tensor in outputs)

    def _mix(self, outputs: list[Tensor]) -> None:
        self._mixed.update((id(tensor), tensor) for tensor in outputs)


@dataclass(frozen=True)
class Called:
    """One call of a torch function.

    Args:
        args: positional arguments.
        kwargs: the others.
        planes: the tensors among them that are planes, with what they see.
        numbers: what those see that are single numbers made of a plane.
        outputs: the tensors that came out.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    planes: Sequence[Known]
    numbers: Sequence[Plane]
    outputs: list[Tensor]

    def moved(self, name: str) -> Plane | None:
        """Return the plane after a function without windows of its own; None where the plane is gone or mixed."""
        (input, plane), output = self.planes[0], self.outputs[0]
        if name in ADAPTIVE:
            pairs = zip(plane.dims, plane.fields, strict=True)
            return Plane(plane.dims, tuple(arithmetic.adaptive(field, output.shape[dim]) for dim, field in pairs))
        if name == "interpolate":
            return resized(plane, output, {**dict(zip(INTERPOLATE, self.args, strict=False)), **self.kwargs})
        if name == "pad":
            return padded(plane, tuple(self._argument("pad", 1, ())), output, self._argument("mode", 2, "constant"))
        if name == "__getitem__":
            return indexed(plane, self.args[1], input, output)
        if name in ("permute", "transpose", "swapaxes"):
            return permuted(plane, self._order(name, input.dim()))
        if name in ("view", "reshape", "flatten"):
            return reshaped(plane, input, output)
        return self._joined(output) if name in POINTWISE and not self._touched(name) & set(plane.dims) else None

    def _joined(self, output: Tensor) -> Plane | None:
        """Return what the cells of all planes and the single numbers see together."""
        dims = self.planes[0][1].dims
        if any(plane.dims != dims for _, plane in self.planes):
            return None
        found = join_planes([*(plane for _, plane in self.planes), *self.numbers])
        if found is None or any(output.shape[dim] != f.size for dim, f in zip(dims, found.fields, strict=True)):
            return None
        return found

    def _touched(self, name: str) -> set[int]:
        """Return the axes along which a function mixes."""
        num_axes = self.outputs[0].dim()
        if name in ("cat", "concat", "chunk", "split"):
            dim = self._argument("dim", 1 if name in ("cat", "concat") else 2, 0)
            return {dim % num_axes}
        if name == "linear":
            return {num_axes - 1}
        if name == "layer_norm":
            return set(range(num_axes - len(self._argument("normalized_shape", 1, ())), num_axes))
        return set()

    def _order(self, name: str, num_axes: int) -> tuple[int, ...]:
        """Return which axis of the input comes where, by moving the axes of a tensor whose strides name them."""
        named = torch.zeros(1).as_strided([1] * num_axes, list(range(num_axes)))
        moved: Tensor = getattr(torch.Tensor, name)(named, *self.args[1:], **self.kwargs)
        return moved.stride()

    def _argument(self, name: str, place: int, default: Any) -> Any:
        return self.kwargs.get(name, self.args[place] if len(self.args) > place else default)


def _channels(output: Tensor, plane: Plane) -> int:
    """Return the size of the first axis behind the batch that is no axis of the plane."""
    return next((size for dim, size in enumerate(output.shape) if dim and dim not in plane.dims), 1)


def _shrunk(plane: Plane, output: Tensor) -> bool:
    return all(dim < output.dim() and output.shape[dim] == 1 for dim in plane.dims)
