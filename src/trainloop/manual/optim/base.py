"""What every optimizer shares: parameter groups, state, and the walk over parameters that have a gradient.

A subclass gives its formula in three pieces that change nothing in place:

- ``init_state``: what a parameter remembers before its first update;
- ``scalars``: the numbers of one update that change with the lr or the step number, computed in double precision as
  torch computes them;
- ``update``: the new parameter and the new state, from the old ones, the gradient and those numbers.

:meth:`Optimizer.step` calls them and assigns. Because ``update`` is pure and takes its numbers as arguments, either Python
numbers or 0-d tensors, the same lines can also be captured as one graph that serves a whole schedule of lrs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter

from trainloop.manual.optim.arithmetic import Scalar, Scalars
from trainloop.manual.optim.checks import check_group, check_param, check_switches
from trainloop.manual.optim.state_dict import Group, State, StateDict, loaded_state, pack, params_by_number
from trainloop.manual.zero_grad import zero_grad

__all__ = ["Group", "Optimizer", "Options", "Params", "Scalar", "Scalars", "State"]

Options = Mapping[str, tuple[object, ...]]
Params = Iterable[Parameter] | Iterable[tuple[str, Parameter]] | Iterable[Group]
Loss = TypeVar("Loss")


class Optimizer(ABC):
    """Update parameters from their gradients; a subclass gives the formula.

    Args:
        params: parameters, ``(name, parameter)`` pairs, or groups ``{"params": [...], "lr": ...}`` whose entries win
            over ``defaults``.
        defaults: hyper-parameters by their torch names, the four switches of torch's implementations among them.

    Raises:
        TypeError: ``params`` has no order, or holds something else than real floating-point leaf tensors.
        ValueError: there is no parameter, one stands in two groups, or a switch of torch's implementations is on.
    """

    options: ClassVar[Options]
    """values of each hyper-parameter that tests cross with those of all others"""
    fewest_dims: ClassVar[int] = 0
    """how many dimensions a parameter must have"""
    capturable_reason: ClassVar[str | None] = None
    """why ``update`` cannot be captured as a graph; None when it can"""
    deviation_reason: ClassVar[str | None] = None
    """why the bits are not those of torch's ``foreach=False, fused=False`` form; None when they are"""
    kept_keys: ClassVar[tuple[str, ...]] = ("params", "foreach", "fused", "capturable", "differentiable")
    """entries of a group that ``load_state_dict`` leaves as they are: they say how to compute, not what"""

    def __init__(self, params: Params, defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        for group in _as_groups(params):
            self.add_param_group(group)

    def step(self, closure: Callable[[], Loss] | None = None) -> Loss | None:
        """Update every parameter whose gradient is not None.

        Args:
            closure: computes the loss and the gradients anew, before the update.

        Returns:
            what ``closure`` returned.
        """
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        self._step_one(param, param.grad, group)
        return loss

    def _step_one(self, param: Tensor, grad: Tensor, group: Group) -> None:
        check_param(param, grad)
        known = self.state.get(param)
        state = known or self.init_state(param.data, group)
        # The count is a float32 tensor, as in torch's state; an optimizer without one asks only whether it is the first.
        count = {"step": state["step"] + 1} if "step" in state else {}
        step = count["step"].item() if count else (2.0 if known else 1.0)
        scalars = self.scalars(group, state, step)
        param.data, new_state = self.update(param.data, grad, state, scalars, group)
        if state or new_state:
            self.state[param] = {**state, **count, **new_state}

    @abstractmethod
    def init_state(self, param: Tensor, group: Group) -> State:
        """Return what a parameter remembers before its first update.

        Args:
            param: any shape.
            group: hyper-parameters.

        Returns:
            tensors by their torch names; empty when there is nothing to remember.
        """

    @abstractmethod
    def scalars(self, group: Group, state: State, step: float) -> Scalars:
        """Return the numbers of one update that change with the lr or the step.

        Args:
            group: hyper-parameters.
            state: of one parameter, before the update; only its 0-d entries may be read.
            step: number of this update, 1 for the first. An optimizer whose state has no ``step`` may only ask whether
                it is 1.

        Returns:
            Python floats and bools by name, with the same names at every step; a number that must keep its double
            precision when it is captured too is a 0-d float64 tensor.
        """

    @abstractmethod
    def update(self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group) -> tuple[Tensor, State]:
        """Return the new parameter and the new state (without ``step``), changing nothing in place.

        Args:
            param: any shape.
            grad: shape of ``param``.
            state: what the parameter remembers.
            scalars: as :meth:`scalars` gives them, or as 0-d tensors: numbers in the dtype of ``param``, flags as bool.
            group: hyper-parameters.

        Returns:
            the parameter, shape of ``param``, and its state.
        """

    def __repr__(self) -> str:
        """Return the class and the hyper-parameters of each group."""
        groups = [
            ", ".join(f"{name}={value}" for name, value in group.items() if name not in self.kept_keys)
            for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient.

        Args:
            set_to_none: False fills the gradients with zeros instead, so that a parameter the next loss does not reach
                is still updated.
        """
        for group in self.param_groups:
            if set_to_none:
                zero_grad(group["params"])
                continue
            for param in group["params"]:
                if param.grad is not None:
                    param.grad = param.grad.detach().zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Take one more group; what it does not say comes from the defaults.

        Args:
            param_group: ``{"params": [...], ...}``; is not changed.

        Raises:
            TypeError: as for the class.
            ValueError: as for the class.
        """
        group = check_group(param_group, self.defaults, self.param_groups)
        self.param_groups.append(group)

    def state_dict(self) -> StateDict:
        """Return state and groups in torch's format, which ``torch.optim``'s optimizer of the same name can load."""
        return pack(self.param_groups, self.state)

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take state and hyper-parameters from a state dict of ours or of torch's optimizer of the same name.

        Args:
            state_dict: is not changed, and shares no tensor with this optimizer afterwards.

        Raises:
            TypeError: a saved lr is a tensor.
            ValueError: an entry is missing, or groups, their sizes or the shape of a tensor do not fit. Nothing is
                loaded in either case.
        """
        params = params_by_number(self.param_groups, state_dict)
        groups = [
            {**group, **{name: value for name, value in saved.items() if name not in self.kept_keys}}
            for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True)
        ]
        for group in groups:
            check_switches(group)
        group_of = {param: group for group in groups for param in group["params"]}
        state = {}
        for number, saved in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"the state dict has a state for parameter {number}, which is in none of its groups")
            param = params[number]
            state[param] = loaded_state(number, saved, param, self.init_state(param.data, group_of[param]))
        self.param_groups, self.state = groups, state


def _as_groups(params: Params) -> Sequence[Group]:
    if isinstance(params, Tensor):
        raise TypeError(
            f"params must be an iterable of parameters or groups, found one tensor of shape {tuple(params.shape)}"
        )
    entries: list[Any] = list(params)
    if not entries:
        raise ValueError("an optimizer needs at least one parameter, found none")
    if isinstance(entries[0], dict):
        return entries
    return [{"params": params if isinstance(params, set) else entries}]
