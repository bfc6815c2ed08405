"""Write an optimizer's ``update`` down as a graph, and say whether it works element by element.

The fast forms do not have formulas of their own: they run the very ``update`` of the readable form, on other pieces of
memory. That is right as long as an element of the new parameter depends on the same element of the parameter, of the gradient
and of the state, and on nothing else of theirs. So the update is captured once, on a small example, and every operation of the
graph is looked at. A norm or a matrix product is found out, whoever wrote the optimizer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual.errors import FormError
from trainloop.manual.optim.arithmetic import Scalars, scalar_tensors
from trainloop.manual.optim.base import Group, Optimizer, State

EXAMPLE_SHAPE = (2, 2)
"""of the example's parameter; two dimensions, because some optimizers refuse fewer"""

aten = torch.ops.aten
CONSTANTS = (aten.scalar_tensor.default, aten.ones_like.default, aten.zeros_like.default, aten.full_like.default)
"""operations whose elements come from no element of a tensor"""


@dataclass(frozen=True)
class Elementwise:
    r"""An update that works element by element.

    Args:
        graph: (param, grad, \*tensors, \*numbers, \*scalars) → (param, \*tensors), in operations of ``torch.ops.aten``.
        tensors: names of the state's entries that have the shape of the parameter.
        numbers: names of those that are 0-d whatever the parameter, ``step`` apart.
        scalars: names of the numbers that change from step to step.
    """

    graph: Graph
    tensors: tuple[str, ...]
    numbers: tuple[str, ...]
    scalars: tuple[str, ...]


def capture_elementwise(optimizer: Optimizer, group: Group, param: Tensor) -> Elementwise:
    """Capture the update of one group.

    Args:
        optimizer: is not changed.
        group: one of its groups. Its lr stays out of the capture, for it changes from step to step.
        param: any shape; the graph is for its dtype and device.

    Raises:
        FormError: the optimizer cannot be captured, or its update is not elementwise.
    """
    if optimizer.capturable_reason is not None:
        raise _no_fast_form(optimizer, optimizer.capturable_reason)
    example, state = _example(optimizer, group, param)
    scalars = scalar_tensors(optimizer.scalars(group, state, 1.0), example)
    tensors, numbers = _kinds(optimizer, example, state)
    names = (*tensors, *numbers, *scalars)
    constants = {key: value for key, value in group.items() if key != "lr"}

    def update(param: Tensor, grad: Tensor, *rest: Tensor) -> list[Tensor]:
        given = dict(zip(names, rest, strict=True))
        changing: Scalars = {name: given[name] for name in scalars}
        known = {name: given[name] for name in state}
        new_param, new_state = optimizer.update(param, grad, known, changing, constants)
        return [new_param, *(new_state[name] for name in tensors)]

    inputs = (example, torch.zeros_like(example), *(state[name] for name in (*tensors, *numbers)), *scalars.values())
    graph: Graph = make_fx(update, tracing_mode="fake")(*inputs).graph
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.op == "call_function" and not _works_by_element(node):
            raise _no_fast_form(optimizer, f"{node.target} in its update does not work element by element")
    return Elementwise(graph, tensors, numbers, tuple(scalars))


def new_numbers(optimizer: Optimizer, group: Group, param: Tensor, numbers: State, scalars: Scalars) -> State:
    """Return the 0-d entries of the state after an update, ``step`` apart; they follow from numbers alone.

    Args:
        optimizer: is not changed.
        group: one of its groups.
        param: any shape.
        numbers: these entries before the update.
        scalars: numbers of this update.
    """
    if not numbers:
        return {}
    example, state = _example(optimizer, group, param)
    _, new_state = optimizer.update(example, torch.zeros_like(example), {**state, **numbers}, scalars, group)
    return {name: new_state[name] for name in numbers}


def _example(optimizer: Optimizer, group: Group, param: Tensor) -> tuple[Tensor, State]:
    example = torch.zeros(EXAMPLE_SHAPE, dtype=param.dtype, device=param.device)
    state = optimizer.init_state(example, group)
    state.pop("step", None)
    return example, state


def _kinds(optimizer: Optimizer, example: Tensor, state: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of tensors and of numbers; state of another shape belongs to no element."""
    for name, value in state.items():
        if value.shape not in (example.shape, ()):
            raise _no_fast_form(
                optimizer,
                f"its state {name} has the shape {tuple(value.shape)} where the parameter has {tuple(example.shape)}, "
                "so it does not work element by element",
            )
    tensors = tuple(name for name, value in state.items() if value.shape == example.shape)
    return tensors, tuple(name for name in state if name not in tensors)


def _works_by_element(node: Node) -> bool:
    return torch.Tag.pointwise in node.target.tags or node.target in CONSTANTS  # type: ignore[union-attr]


def _no_fast_form(optimizer: Optimizer, reason: str) -> FormError:
    return FormError(f"{type(optimizer).__name__} has no fast form: {reason}", instead="loop")
