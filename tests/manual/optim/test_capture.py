"""The same update run as a loop with Python numbers, and as one captured graph that gets them as 0-d tensors: same bits."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual.optim import OPTIMIZERS, SGD
from trainloop.manual.optim.arithmetic import scalar_tensors

STEPS = 10
KINDS = {"channels_last": (0, torch.float32), "0-d": (1, torch.float32), "float64": (2, torch.float64)}
CAPTURABLE = [name for name, ours in OPTIMIZERS.items() if ours.capturable_reason is None]


def capture(optimizer, param, state, scalars):
    group = optimizer.param_groups[0]
    inputs = (param, torch.empty_like(param), state, scalar_tensors(scalars, param))
    return make_fx(lambda *given: optimizer.update(*given, group), tracing_mode="fake")(*inputs)


def steps_of_the_loop(optimizer, param, grads, lrs):
    for grad, lr in zip(grads, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        param.grad = grad.clone()
        optimizer.step()
        yield param.data, {name: value for name, value in optimizer.state.get(param, {}).items() if name != "step"}


def steps_of_the_graph(optimizer, param, grads, lrs):
    """One graph, captured before the first step, for all of them."""
    group = optimizer.param_groups[0]
    group["lr"] = lrs[0]
    value, state, graph = param.data, optimizer.init_state(param.data, group), None
    state.pop("step", None)
    for step, (grad, lr) in enumerate(zip(grads, lrs, strict=True), start=1):
        group["lr"] = lr
        scalars = optimizer.scalars(group, state, float(step))
        graph = graph or capture(optimizer, value, state, scalars)
        value, state = graph(value, grad.clone(), state, scalar_tensors(scalars, value))
        yield value, state


@pytest.mark.parametrize(("index", "dtype"), KINDS.values(), ids=KINDS)
def test_a_captured_graph_has_the_bits_of_the_loop(optim, toggled_case, index, dtype):
    name, settings = toggled_case
    if name not in CAPTURABLE:
        pytest.skip(f"{name}: {OPTIMIZERS[name].capturable_reason}")
    if len(optim.shapes[index]) < OPTIMIZERS[name].fewest_dims:
        pytest.skip(f"{name} takes no parameter of so few dimensions")
    grads = [optim.make_grads(2 * step, dtype)[index] for step in range(STEPS)]
    grads = [torch.zeros(optim.shapes[index], dtype=dtype) if grad is None else grad for grad in grads]
    lrs = [0.05 * (1 - step / STEPS) for step in range(STEPS)]
    params = [optim.make_params(dtype)[index] for _ in range(2)]
    optimizers = [OPTIMIZERS[name]([param], **settings) for param in params]
    loop, graph = (
        steps(optimizer, param, grads, lrs)
        for steps, optimizer, param in zip((steps_of_the_loop, steps_of_the_graph), optimizers, params, strict=True)
    )
    for step, ((one, one_state), (two, two_state)) in enumerate(zip(loop, graph, strict=True)):
        assert optim.same_bits(one, two), f"step {step}: loop {one}, graph {two}"
        assert set(one_state) == set(two_state)
        for key in one_state:
            assert optim.same_bits(one_state[key], two_state[key]), f"step {step}, state {key}"


@pytest.mark.parametrize("name", CAPTURABLE)
def test_a_captured_graph_changes_nothing_in_place_and_holds_no_tensor_of_its_own(optim, name):
    param = optim.make_params(torch.float32)[2]
    optimizer = OPTIMIZERS[name]([param])
    group = optimizer.param_groups[0]
    state = optimizer.init_state(param.data, group)
    scalars = optimizer.scalars(group, state, 1.0)
    state.pop("step", None)
    graph = capture(optimizer, param.data, state, scalars).graph
    calls = [node for node in graph.nodes if node.op == "call_function"]
    assert calls
    assert [node for node in calls if node.target._schema.is_mutable] == []
    assert [node for node in graph.nodes if node.op == "get_attr"] == []


def test_a_number_that_is_frozen_into_the_graph_is_noticed(optim):
    class Frozen(SGD):
        def update(self, param, grad, state, scalars, group):
            return super().update(param, grad, state, {**scalars, "lr": group["lr"]}, group)

    params = [optim.make_params(torch.float32)[2] for _ in range(2)]
    grads, lrs = [torch.ones(6, 5)] * 2, [0.5, 0.25]
    loop = list(steps_of_the_loop(Frozen([params[0]]), params[0], grads, lrs))
    graph = list(steps_of_the_graph(Frozen([params[1]]), params[1], grads, lrs))
    assert [optim.same_bits(one, two) for (one, _), (two, _) in zip(loop, graph, strict=True)] == [True, False]


@pytest.mark.parametrize("name", CAPTURABLE)
def test_the_numbers_have_the_same_names_and_kinds_at_every_step(optim, name):
    param = optim.make_params(torch.float32)[2]
    optimizer = OPTIMIZERS[name]([param])
    group = optimizer.param_groups[0]
    state = optimizer.init_state(param.data, group)
    kinds = [
        {key: isinstance(value, bool) for key, value in optimizer.scalars(group, state, float(step)).items()}
        for step in (1, 2, 3, 10, 1000)
    ]
    assert all(kind == kinds[0] for kind in kinds)


def test_an_optimizer_that_cannot_be_captured_says_why():
    reasons = [OPTIMIZERS[name].capturable_reason for name in set(OPTIMIZERS) - set(CAPTURABLE)]
    assert all(len(reason.split()) > 3 for reason in reasons)
