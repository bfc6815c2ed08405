"""Turn a captured update, which makes a new tensor at every operation, into one that works in the memory of its inputs.

    buffer = state * momentum                      state.mul_(momentum)
    buffer = addcmul(buffer, grad, share)     →    state.addcmul_(grad, share)
    param  = addcmul(param, buffer, -lr)           param.addcmul_(state, -lr)

An operation writes over its first operand when nobody needs that value later, unless it is the gradient. So the pure formula
runs with the few temporaries of an optimizer that is written in place by hand, and the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from trainloop.manual.optim.elementwise import Elementwise

aten = torch.ops.aten


def in_place(captured: Elementwise) -> Callable[..., Any]:
    r"""Return the update as a function of (param, grad, \*tensors, \*numbers, \*scalars) that overwrites param and tensors.

    Args:
        captured: the update.
    """
    graph = Graph()
    graph.output(graph.graph_copy(captured.graph, {}))
    nodes = list(graph.nodes)
    param, grad, *rest = [node for node in nodes if node.op == "placeholder"]
    homes = [param, *rest[: len(captured.tensors)]]
    memory = _write_over(nodes, {home: home for home in homes}, kept=grad)
    _bring_home(graph, nodes[-1], homes, memory)
    module = GraphModule(torch.nn.Module(), graph)
    forward: Callable[..., Any] = module.forward
    return forward


def _write_over(nodes: list[Node], memory: dict[Node, Node], kept: Node) -> dict[Node, Node]:
    """Give operations their in-place twins where they may have them; return whose memory each value lies in."""
    place = {node: index for index, node in enumerate(nodes)}
    for node in nodes:
        twin = _twin(node)
        if twin is None:
            continue
        first: Any = node.args[0]
        is_last_use = max(place[user] for user in first.users) == place[node]
        if is_last_use and first is not kept:
            node.target = twin
            memory[node] = memory.get(first, first)
    return memory


def _twin(node: Node) -> Any:
    """Return the operation that writes over its first operand; None when there is none, or the result is another kind."""
    if node.op != "call_function" or not (node.args and isinstance(node.args[0], Node)):
        return None
    result, first = node.meta["val"], node.args[0].meta["val"]
    if (result.shape, result.dtype) != (first.shape, first.dtype) or result.dim() == 0:
        return None
    target: Any = node.target
    packet = getattr(aten, f"{target.overloadpacket.__name__}_", None)
    return getattr(packet, target._overloadname, None)


def _bring_home(graph: Graph, output: Node, homes: list[Node], memory: dict[Node, Node]) -> None:
    """Copy the results that lie elsewhere to where they belong."""
    results: Any = output.args[0]
    with graph.inserting_before(output):
        away = [(home, node) for home, node in zip(homes, results, strict=True) if memory.get(node) is not home]
        # What lies in another's home must leave before that one's result comes.
        away = [(home, graph.call_function(aten.clone.default, (n,)) if n in memory else n) for home, n in away]
        for home, node in away:
            graph.call_function(aten.copy_.default, (home, node))
    output.args = (None,)
