"""What every optimizer shares: parameter groups, state, and the walk over parameters that have a gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from trainloop.manual.zero_grad import zero_grad

Group = dict[str, Any]
State = dict[str, Any]


class Optimizer(ABC):
    """Update parameters from their gradients; a subclass gives the formula in :meth:`update`.

    Args:
        params: parameters, or groups ``{"params": [...], "lr": ...}`` whose entries win over ``defaults``.
        defaults: hyper-parameters by their torch names.

    Raises:
        ValueError: there is no parameter.
    """

    def __init__(self, params: Iterable[Parameter] | Iterable[Group], defaults: Group) -> None:
        self.param_groups: list[Group] = [{**defaults, **group} for group in _as_groups(list(params))]
        self.state: dict[Parameter, State] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter whose gradient is not None."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.update(param, param.grad, self.state.setdefault(param, {}), group)

    def zero_grad(self) -> None:
        """Set every gradient to None."""
        for group in self.param_groups:
            zero_grad(group["params"])

    @abstractmethod
    def update(self, param: Parameter, grad: Tensor, state: State, group: Group) -> None:
        """Assign ``param.data``.

        Args:
            param: any shape.
            grad: shape of ``param``; must not be changed.
            state: what this parameter remembers between steps; empty before its first step.
            group: hyper-parameters.
        """


def _as_groups(params: Sequence[Any]) -> list[Group]:
    if not params:
        raise ValueError("an optimizer needs at least one parameter, found none")
    if isinstance(params[0], dict):
        return [{**group, "params": list(group["params"])} for group in params]
    return [{"params": list(params)}]
