"""What the fast forms share: they gather parameters that take the same numbers, and update them together, in place.

The readable loop (:class:`~trainloop.manual.optim.base.Optimizer`) stays the specification and the owner: a fast form holds
one, reads its groups and writes its state, so that either may do the next step and ``state_dict`` is the same. Three things
differ. Tensors are overwritten instead of replaced, which saves memory traffic; a tape that saved them notices by their
version. State that a caller took from ``state_dict()`` without a copy changes with the next step, as with torch's optimizers.
And what cannot be walked through side by side goes through the loop: a parameter whose memory has gaps (a slice of something
larger), one that does not match its state, one that stands twice in its group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars
from trainloop.manual.optim.base import Group, Optimizer, State
from trainloop.manual.optim.checks import check_param
from trainloop.manual.optim.elementwise import Elementwise, capture_elementwise, new_numbers

Loss = TypeVar("Loss")
OTHER_LAYOUTS = (torch.channels_last, torch.channels_last_3d)
"""besides the contiguous one, those that leave no gap in memory"""


class Member(NamedTuple):
    """A parameter with what belongs to it, all in one layout; ``is_first`` when it had no state before this update."""

    param: Tensor
    grad: Tensor
    state: State
    is_first: bool


class Batch(NamedTuple):
    """Parameters of one dtype and device that take the same numbers.

    Args:
        params: any shapes.
        grads: their gradients.
        state: of each name, the tensors of all parameters.
        numbers: 0-d entries of the state, the same for all, ``step`` apart.
        scalars: numbers of this update.
    """

    params: list[Tensor]
    grads: list[Tensor]
    state: dict[str, list[Tensor]]
    numbers: State
    scalars: Scalars


class FastForm(ABC):
    """Updates the parameters of an optimizer by its own ``update``, many at once.

    Args:
        optimizer: keeps groups and state; its own ``step`` may be called in between.

    Raises:
        FormError: the update does not work element by element, or this form does not cover a parameter.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._captured: dict[Hashable, Elementwise] = {}
        self._number_names = {"step"}
        for group in optimizer.param_groups:
            for param in group["params"]:
                self._prepare(self._kind(group, param), group, param)

    def step(self, closure: Callable[[], Loss] | None = None) -> Loss | None:
        """Update every parameter whose gradient is not None.

        Args:
            closure: computes the loss and the gradients anew, before the update.

        Returns:
            what ``closure`` returned.
        """
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.optimizer.param_groups:
                self._step_group(group)
        return loss

    @abstractmethod
    def _update(self, batch: Batch, group: Group, kind: Hashable) -> None:
        """Overwrite the parameters and the tensors of the state."""

    def _kind(self, group: Group, param: Tensor) -> Hashable:
        """Return what a capture holds for: the parameter's dtype and device, and every setting but the lr."""
        settings = [repr(group[name]) for name in self.optimizer.defaults if name != "lr"]
        return (param.dtype, param.device, *settings)

    def _prepare(self, kind: Hashable, group: Group, param: Tensor) -> Elementwise:
        """Return the update captured for a kind; a setting that has changed is captured anew."""
        if kind not in self._captured:
            captured = self._captured[kind] = capture_elementwise(self.optimizer, group, param)
            self._number_names.update(captured.numbers)
        return self._captured[kind]

    def _step_group(self, group: Group) -> None:
        if len(set(group["params"])) < len(group["params"]):
            # A parameter that stands twice takes two updates, one after the other.
            self._step_by_loop(group, group["params"])
            return
        batches: dict[Hashable, list[Member]] = {}
        for member in self._members(group):
            numbers = [number.item() for name, number in member.state.items() if name in self._number_names]
            key = (member.param.dtype, member.param.device, member.is_first, *numbers)
            batches.setdefault(key, []).append(member)
        for batch in batches.values():
            self._step_batch(batch, group)

    def _members(self, group: Group) -> Iterator[Member]:
        """Yield what takes part; update by the loop what cannot."""
        known = self.optimizer.state
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            check_param(param, grad)
            before = known.get(param)
            member = self._member(param, grad, before or self.optimizer.init_state(param.data, group), not before)
            if member is None:
                self._step_by_loop(group, [param])
                continue
            if member.state:
                known[param] = member.state
            yield member

    def _step_by_loop(self, group: Group, params: Iterable[Tensor]) -> None:
        for param in params:
            if param.grad is not None:
                self.optimizer._step_one(param, param.grad, group)

    def _member(self, param: Tensor, grad: Tensor, state: State, is_first: bool) -> Member | None:
        """Return a parameter with its tensors in one layout; None when they cannot be walked through side by side."""
        tensors = {name: value for name, value in state.items() if name not in self._number_names}
        facts = (param.shape, param.dtype, param.device)
        alike = all((each.shape, each.dtype, each.device) == facts for each in (grad, *tensors.values()))
        if not (alike and _has_no_gaps(param)):
            return None
        strides = param.stride()
        laid = {name: value if value.stride() == strides else _laid_as(param, value) for name, value in tensors.items()}
        grad = grad if grad.stride() == strides else _laid_as(param, grad)
        return Member(param, grad, {**state, **laid}, is_first)

    def _step_batch(self, members: list[Member], group: Group) -> None:
        params, grads, states, (is_first, *_) = zip(*members, strict=True)
        kind = self._kind(group, params[0])
        captured = self._prepare(kind, group, params[0])
        # The count is a float32 tensor, as in the loop; an optimizer without one asks only whether it is the first.
        count = {"step": states[0]["step"] + 1} if "step" in states[0] else {}
        step = count["step"].item() if count else (1.0 if is_first else 2.0)
        scalars = self.optimizer.scalars(group, states[0], step)
        tensors = {name: [state[name] for state in states] for name in captured.tensors}
        numbers = {name: states[0][name] for name in captured.numbers}
        new = {**count, **new_numbers(self.optimizer, group, params[0], numbers, scalars)}
        self._update(Batch(list(params), list(grads), tensors, numbers, scalars), group, kind)
        for name, number in new.items():
            torch._foreach_copy_([state[name] for state in states], [number] * len(states))


def _has_no_gaps(param: Tensor) -> bool:
    return param.is_contiguous() or any(param.is_contiguous(memory_format=each) for each in OTHER_LAYOUTS)


def _laid_as(param: Tensor, tensor: Tensor) -> Tensor:
    return torch.empty_like(param).copy_(tensor)
