"""Which gradient belongs to which tensor: a table that keeps no tensor alive."""

from __future__ import annotations

import functools
import weakref
from typing import NamedTuple

import torch
from torch import Tensor


class Value:
    """What a tensor holds between two in-place changes; gradients belong to values and not to tensors.

    ``x.relu_()`` gives the same tensor a new value, as ``y = x.relu()`` gives a new tensor one.

    Args:
        tensor: any shape.
        leaf: the tensor itself if it is where gradients end (a parameter), else None.
    """

    __slots__ = ("dtype", "leaf", "shape")

    def __init__(self, tensor: Tensor, leaf: Tensor | None = None) -> None:
        self.shape = tensor.shape
        self.dtype = tensor.dtype
        self.leaf = leaf

    def fit(self, grad: Tensor) -> Tensor:
        """Return ``grad`` summed over the dimensions along which this value was broadcast, in the value's dtype.

        The chain rule of broadcasting: an element that was used n times receives the sum of n gradients. It stands
        here, once, so that no rule needs to think of it.
        """
        if grad.shape != self.shape:
            grad = grad.sum_to_size(self.shape)
        return grad if grad.dtype == self.dtype else grad.to(self.dtype)


class Entry(NamedTuple):
    """What the table knows of one tensor.

    Args:
        ref: ends the entry when the tensor ends.
        value: the tensor's present value.
        version: torch's count of in-place changes when the value was noted; views share it with their base.
        born_constant: the tensor had no value until something with one was written into it.
    """

    ref: weakref.ref[Tensor]
    value: Value
    version: int
    born_constant: bool


class ValueTable:
    """Tensor → value, by identity."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def get(self, tensor: Tensor) -> Entry | None:
        """Return what is known of ``tensor``, or None."""
        return self._entries.get(id(tensor))

    def set(self, tensor: Tensor, value: Value, *, born_constant: bool = False) -> None:
        """Note the present value of ``tensor``; the entry ends with the tensor."""
        key = id(tensor)
        ref = weakref.ref(tensor, functools.partial(self._entries.pop, key))
        self._entries[key] = Entry(ref, value, tensor._version, born_constant)

    def drop(self, tensor: Tensor) -> None:
        """Forget ``tensor``: it is a constant from now on."""
        self._entries.pop(id(tensor), None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def mark(self, tensor: Tensor) -> None:
        """Set ``requires_grad`` of an intermediate, so that torch itself tells what bypasses the tape.

        A scripted function, a custom ``autograd.Function`` or a C++ extension never reaches the tape; but given a
        tensor that requires grad it returns one with a ``grad_fn``, which the tape notices. The model, too, sees the
        ``requires_grad`` that it would see under autograd.
        """
        if not tensor.requires_grad:  # a view requires grad if its base does
            tensor.requires_grad_()

    def unmark(self) -> None:
        """Take the marks back: outside the tape nothing is recorded, and ``loss.backward()`` must fail by name."""
        alive = [(entry.value.leaf, entry.ref()) for entry in self._entries.values()]
        marked = [tensor for leaf, tensor in alive if leaf is None and tensor is not None]
        # Bases before their views: while the base is marked, torch takes a view of it that was changed for no leaf.
        for tensor in sorted(marked, key=torch.Tensor._is_view):
            tensor.requires_grad_(False)
