"""Parameters that one call of a fast form updates: looked at with care once, and recognised at a glance afterwards.

A form walks through memory from end to end, so each gradient and each tensor of the state must first have its parameter's
shape, dtype, device and layout. To look at all of that takes a tenth of the time of an update, and hardly ever has anything
changed since the last one. So a batch remembers what it saw, and :meth:`Batch.meets_again` compares only what tells a change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import is_
from typing import NamedTuple

import torch
from torch import Tensor

from trainloop.manual.optim.base import State

OTHER_LAYOUTS = (torch.channels_last, torch.channels_last_3d)
"""besides the contiguous one, those that leave no gap in memory"""
NOTHING: State = {}


class Member(NamedTuple):
    """A parameter with what belongs to it, all in one layout; ``is_first`` when it had no state before this update."""

    param: Tensor
    grad: Tensor
    state: State
    is_first: bool


class Batch:
    """Parameters of one dtype and device that take the same numbers.

    Args:
        members: at least one.
        number_names: entries of the state that are numbers, whatever the parameter.
    """

    def __init__(self, members: Sequence[Member], number_names: frozenset[str]) -> None:
        self.params = [member.param for member in members]
        self.grads = [member.grad for member in members]
        self.states = [member.state for member in members]
        self.is_first = members[0].is_first
        self._numbers = [name for name in self.states[0] if name in number_names]
        self._seen = [(p, p.data_ptr(), p.numel(), p.stride(), [*state.values()]) for p, _, state, _ in members]

    def column(self, name: str) -> list[Tensor]:
        """Return one entry of the state of every parameter."""
        return [state[name] for state in self.states]

    def let_go(self) -> None:
        """Forget the gradients, whose memory the next backward pass wants."""
        self.grads = []

    def meets_again(self, params: Iterable[Tensor], known: Mapping[Tensor, State]) -> bool:
        """Take the gradients of a new step, and say whether everything else is as it was.

        A parameter that was given other memory has another address, and so has one of another dtype, device or layout.

        Args:
            params: of a group.
            known: the optimizer's state.
        """
        present = [(param, grad) for param in params if (grad := param.grad) is not None]
        if len(present) != len(self._seen):
            return False
        dtype = self.params[0].dtype
        for (param, grad), (seen, address, size, strides, tensors) in zip(present, self._seen, strict=True):
            values = known.get(param, NOTHING).values()
            if not (
                param is seen
                and param.data_ptr() == address
                and param.numel() == size
                and grad.layout is torch.strided
                and grad.dtype is dtype
                and grad.stride() == strides
                and len(values) == len(tensors)
                and all(map(is_, values, tensors))
            ):
                return False
        self.grads = [grad for _, grad in present]
        self.is_first = not self.states[0]
        return all(len({number.item() for number in self.column(name)}) == 1 for name in self._numbers)


def gather(members: Iterable[Member], number_names: frozenset[str]) -> list[Batch]:
    """Sort parameters into batches.

    Args:
        members: of one group.
        number_names: entries of the state that are numbers, whatever the parameter.
    """
    batches: dict[Hashable, list[Member]] = {}
    for member in members:
        numbers = [number.item() for name, number in member.state.items() if name in number_names]
        key = (member.param.dtype, member.param.device, member.is_first, *numbers)
        batches.setdefault(key, []).append(member)
    return [Batch(batch, number_names) for batch in batches.values()]


def as_member(param: Tensor, grad: Tensor, state: State, is_first: bool, number_names: frozenset[str]) -> Member | None:
    """Return a parameter with its tensors in one layout; None when they cannot be walked through side by side.

    Args:
        param: any shape.
        grad: shape of ``param``.
        state: what it remembers, or would begin with.
        is_first: it had no state before this update.
        number_names: entries of the state that are numbers, whatever the parameter.
    """
    tensors = {name: value for name, value in state.items() if name not in number_names}
    facts = (param.shape, param.dtype, param.device)
    alike = all((each.shape, each.dtype, each.device) == facts for each in (grad, *tensors.values()))
    if not (alike and _has_no_gaps(param)):
        return None
    laid = {name: _laid_as(param, value) for name, value in tensors.items()}
    return Member(param, _laid_as(param, grad), {**state, **laid}, is_first)


def _has_no_gaps(param: Tensor) -> bool:
    return param.is_contiguous() or any(param.is_contiguous(memory_format=each) for each in OTHER_LAYOUTS)


def _laid_as(param: Tensor, tensor: Tensor) -> Tensor:
    return tensor if tensor.stride() == param.stride() else torch.empty_like(param).copy_(tensor)
