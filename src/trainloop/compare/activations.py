"""What every module returned during one forward pass, and the means to put the other side's values in its place.

The output of a module is the border between its own error and the error that comes after it. While a pass is *fed*, what
a module returned is noted, and then overwritten with what the same module returned on the reference side; so each module
works on the reference's numbers, and shows its own error alone. A pass whose bits are the reference's is not touched by this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainloop.compare.measure import equal_bits
from trainloop.ulp import same_bits


class Activations:
    """Note the outputs of all modules while a block runs.

        with Activations(model) as seen:
            model(x)
        seen.outputs["block1.0"]

    A module that is called again in one pass gets ``#2`` and so on behind its name, the items of a tuple ``[0]`` and so on. The
    model itself is left out: what it returns are the logits.

    Args:
        model: whose modules.
        fed: what to put in the place of an output of the same name, of its shape; None only notes.
        rename: of a module on this side → how it is called in ``outputs`` and ``fed``.
    """

    def __init__(
        self,
        model: nn.Module,
        fed: Mapping[str, Tensor] | None = None,
        rename: Callable[[str], str] = str,
    ) -> None:
        self.outputs: dict[str, Tensor] = {}
        """name → a copy, in the order in which the modules returned"""
        self._model = model
        self._fed = fed
        self._rename = rename
        self._calls: Counter[str] = Counter()
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        for name, module in self._model.named_modules():
            if name:
                self._handles.append(module.register_forward_hook(self._hook(self._rename(name))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Listen no longer."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._calls[name] += 1
            call = f"{name}#{self._calls[name]}" if self._calls[name] > 1 else name
            # Without grad neither autograd nor a tape notes what is done here.
            with torch.no_grad():
                for label, tensor in _tensors(call, output):
                    self._note(label, tensor)

        return note

    def _note(self, label: str, tensor: Tensor) -> None:
        fed = None if self._fed is None else self._fed.get(label)
        if fed is not None and equal_bits(fed, tensor):
            self.outputs[label] = fed  # the same numbers, so no copy is needed
            return
        self.outputs[label] = tensor.detach().clone()
        if fed is not None:
            put(tensor, fed)


def put(tensor: Tensor, value: Tensor) -> None:
    """Overwrite ``tensor`` with ``value`` behind the back of whoever records, unless the bits agree already.

    The graph stays as it is, and what it saved of ``tensor`` are from now on these numbers.

    Args:
        tensor: any shape, floating point; one whose elements share memory is left alone.
        value: of any floating-point dtype; another shape is left alone.
    """
    if tensor.shape != value.shape or not tensor.is_floating_point() or _elements_overlap(tensor):
        return
    value = value.to(tensor.device, tensor.dtype)
    with torch.no_grad():
        if not bool(same_bits(tensor, value).all()):
            tensor.data.copy_(value)


def _elements_overlap(tensor: Tensor) -> bool:
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _tensors(name: str, output: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield name, output
    elif isinstance(output, (tuple, list)):
        for index, item in enumerate(output):
            yield from _tensors(f"{name}[{index}]", item)
    elif isinstance(output, Mapping):
        for key, item in output.items():
            yield from _tensors(f"{name}[{key}]", item)
