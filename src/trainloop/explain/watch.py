"""A tape that remembers which module called each operation, and what passed through on the way back to one parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from trainloop.explain.formulas import gradient_formula
from trainloop.explain.results import Link, Seen, Use
from trainloop.manual import Tape
from trainloop.manual.node import Node
from trainloop.manual.rule import ATEN
from trainloop.manual.values import Value
from trainloop.manual.where import module_path

MAX_VALUES = 4


class WatchedTape(Tape):
    """Record as a tape does, and note the module that called each operation.

    Args:
        form: of each rule; see :class:`Tape`.
    """

    def __init__(self, *, form: str = ATEN) -> None:
        super().__init__(form=form)
        self.modules: dict[int, str] = {}
        """id of a node → path and class of its module; empty where no module was running"""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one call of the model, and note where it came from if it was recorded."""
        known = len(self.nodes)
        output = super().__torch_function__(func, types, args, kwargs)
        # From inside a composite the call came here before, and that note is the more exact one.
        new = [node for node in self.nodes[known:] if id(node) not in self.modules]
        if new:
            path = module_path()
            self.modules.update((id(node), "" if path == "no module" else path) for node in new)
        return output

    def clear(self) -> None:
        """Forget everything that was recorded and noted."""
        super().clear()
        self.modules.clear()

    def watch(self, loss: Tensor, param: Tensor) -> list[Way]:
        """Return the ways from ``loss`` to each use of ``param``, ready to note what the next backward sends along them."""
        loss_value, leaf = self._ledger.value(loss), self._ledger.value(param)
        if loss_value is None or leaf is None:
            return []
        ways = list(_ways(self.nodes, loss_value, leaf))
        watched = {id(node): WatchedNode(node) for way in ways for node in way.nodes}
        self.modules.update((id(new), self.modules[old]) for old, new in watched.items() if old in self.modules)
        self.nodes[:] = [watched.get(id(node), node) for node in self.nodes]
        for way in ways:
            way.nodes = [watched[id(node)] for node in way.nodes]
        return ways


class WatchedNode(Node):
    """A node that notes what arrives at it and what it passes on to parameters.

    Args:
        node: to take the place of.
    """

    __slots__ = ("arrived", "passed")

    def __init__(self, node: Node) -> None:
        super().__init__(node.name, node.form, node.inputs, node.outputs, node.saved or ())
        self.saved, self.single, self.versions = node.saved, node.single, node.versions
        self.arrived: list[Seen | None] = []
        self.passed: list[tuple[Value, Tensor]] = []

    def vjp(self, grad_outputs: list[Tensor | None]) -> Iterator[tuple[Value, Tensor]]:
        """Yield what the node yields."""
        self.arrived = [None if grad is None else seen(grad) for grad in grad_outputs]
        for value, grad in super().vjp(grad_outputs):
            if value.leaf is not None:
                self.passed.append((value, grad))
            yield value, grad


class Way:
    """One use of a parameter, and the shortest way from the loss to it.

    Args:
        nodes: from the loss to the use.
        outputs: the output of each that the way leads through.
        leaf: the parameter's value.
        num_paths: how many ways there are.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[Value], leaf: Value, num_paths: int) -> None:
        self.nodes = nodes
        self.outputs = outputs
        self.leaf = leaf
        self.num_paths = num_paths

    def use(self, modules: dict[int, str], index: tuple[int, ...]) -> Use | None:
        """Return what came this way to the element at ``index``, or None if nothing did."""
        use = self.nodes[-1]
        assert isinstance(use, WatchedNode)
        grads = [grad[index].item() for value, grad in use.passed if value is self.leaf]
        if not grads:
            return None
        links = (_link(node, output, modules) for node, output in zip(self.nodes, self.outputs, strict=True))
        return Use(tuple(link for link in links if link is not None), self.num_paths, sum(grads))


def seen(grad: Tensor) -> Seen:
    """Return the facts of a gradient."""
    values = tuple(grad.detach().flatten().tolist()) if grad.numel() <= MAX_VALUES else ()
    return Seen(tuple(grad.shape), grad.norm().item(), values)


def _ways(nodes: Sequence[Node], loss: Value, leaf: Value) -> Iterator[Way]:
    """Yield a way for each node that uses ``leaf``, in the order in which their gradients arrive."""
    num_paths, length = {loss: 1}, {loss: 0}
    towards: dict[Value, tuple[Node, Value]] = {}
    for node in reversed(nodes):
        reached = [output for output in node.outputs if output in num_paths]
        if not reached:
            continue
        paths = sum(num_paths[output] for output in reached)
        nearest = min(reached, key=length.__getitem__)
        for value in node.inputs:
            if value is None:
                continue
            num_paths[value] = num_paths.get(value, 0) + paths
            if value not in length or length[nearest] + 1 < length[value]:
                length[value], towards[value] = length[nearest] + 1, (node, nearest)
        if times := sum(value is leaf for value in node.inputs):
            steps = [(node, nearest)]
            while steps[-1][1] is not loss:
                steps.append(towards[steps[-1][1]])
            way, outputs = zip(*reversed(steps), strict=True)
            yield Way(way, outputs, leaf, times * paths)


def _link(node: Node, output: Value, modules: dict[int, str]) -> Link | None:
    assert isinstance(node, WatchedNode)
    arrived = node.arrived[node.outputs.index(output)] if node.arrived else None
    return None if arrived is None else Link(node.name, modules.get(id(node), ""), arrived, gradient_formula(node))
