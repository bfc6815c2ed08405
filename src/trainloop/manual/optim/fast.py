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
from typing import TypeVar

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars
from trainloop.manual.optim.base import Group, Optimizer
from trainloop.manual.optim.batch import Batch, Member, as_member, gather
from trainloop.manual.optim.checks import check_param
from trainloop.manual.optim.elementwise import Elementwise, capture_elementwise, new_numbers

Loss = TypeVar("Loss")


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
        self._number_names = frozenset({"step"})
        self._batches: dict[int, Batch] = {}
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
            for index, group in enumerate(self.optimizer.param_groups):
                batch = self._batches.get(index)
                if batch is not None and batch.meets_again(group["params"], self.optimizer.state):
                    self._step_batch(batch, group)
                else:
                    self._step_group(index, group)
        return loss

    @abstractmethod
    def _update(self, batch: Batch, scalars: Scalars, group: Group, kind: Hashable) -> None:
        """Overwrite the parameters and the tensors of the state."""

    def _kind(self, group: Group, param: Tensor) -> Hashable:
        """Return what a capture holds for: the parameter's dtype and device, and every setting but the lr."""
        settings = [repr(group[name]) for name in self.optimizer.defaults if name != "lr"]
        return (param.dtype, param.device, *settings)

    def _prepare(self, kind: Hashable, group: Group, param: Tensor) -> Elementwise:
        """Return the update captured for a kind; a setting that has changed is captured anew."""
        if kind not in self._captured:
            captured = self._captured[kind] = capture_elementwise(self.optimizer, group, param)
            self._number_names |= set(captured.numbers)
        return self._captured[kind]

    def _step_group(self, index: int, group: Group) -> None:
        self._batches.pop(index, None)
        if len(set(group["params"])) < len(group["params"]):
            # A parameter that stands twice takes two updates, one after the other.
            self._step_by_loop(group, group["params"])
            return
        batches = gather(self._members(group), self._number_names)
        for batch in batches:
            self._step_batch(batch, group)
        if len(batches) == 1:
            self._batches[index] = batches[0]

    def _members(self, group: Group) -> Iterator[Member]:
        """Yield what takes part; update by the loop what cannot."""
        known = self.optimizer.state
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            check_param(param, grad)
            before = known.get(param)
            state = before or self.optimizer.init_state(param.data, group)
            member = as_member(param, grad, state, not before, self._number_names)
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

    def _step_batch(self, batch: Batch, group: Group) -> None:
        kind, state = self._kind(group, batch.params[0]), batch.states[0]
        captured = self._prepare(kind, group, batch.params[0])
        # The count is a float32 tensor, as in the loop; an optimizer without one asks only whether it is the first.
        count = {"step": state["step"] + 1} if "step" in state else {}
        step = count["step"].item() if count else (1.0 if batch.is_first else 2.0)
        scalars = self.optimizer.scalars(group, state, step)
        numbers = {name: state[name] for name in captured.numbers}
        new = {**count, **new_numbers(self.optimizer, group, batch.params[0], numbers, scalars)}
        self._update(batch, scalars, group, kind)
        for name, number in new.items():
            torch._foreach_copy_(batch.column(name), [number] * len(batch.states))
        batch.let_go()
