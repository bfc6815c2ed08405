"""A pure update made to work in the memory of its inputs: the same values, few temporaries, the gradient untouched."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainloop.manual.optim import SGD
from trainloop.manual.optim.elementwise import capture_elementwise
from trainloop.manual.optim.in_place import in_place


class Update(SGD):
    """An optimizer with any update; one momentum buffer and one number, the lr."""

    def __init__(self, params, formula):
        self.formula = formula
        super().__init__(params, lr=0.1, momentum=0.9)

    def scalars(self, group, state, step):
        del state, step
        return {"lr": group["lr"]}

    def update(self, param, grad, state, scalars, group):
        del group
        param, buffer = self.formula(param, grad, state["momentum_buffer"], scalars["lr"])
        return param, {"momentum_buffer": buffer}


FORMULAS = {
    "a chain": lambda p, g, b, lr: (p * 2 - g * lr, (b * 3 + g).sqrt()),
    "exchanged": lambda p, _g, b, _lr: (b, p),
    "exchanged and changed": lambda p, g, b, lr: (b * lr, p + g),
    "one made of the other": lambda p, _g, b, _lr: (p + b * 2, p * 3),
    "both the same": lambda p, g, _b, _lr: ((p + g), (p + g)),
    "one result in two places": lambda p, g, b, _lr: (twice := p * b + g, twice),
    "the gradient itself": lambda _p, g, b, _lr: (g, b + 1),
    "nothing": lambda p, _g, b, _lr: (p, b),
    "a value that is needed again": lambda p, g, b, _lr: ((p * 2).exp() + p, (b + g) * b),
    "an operand twice": lambda p, _g, b, _lr: ((p + 1) * (p + 1), b * b),
    "the gradient changed": lambda p, g, b, lr: (p - (-g) * lr, b + g),
    "choices": lambda p, g, b, lr: (torch.where(p > g, lr, p), torch.maximum(b, g).clamp(0.1, 0.6)),
}


def inputs():
    generator = torch.Generator().manual_seed(7)
    return [torch.rand(5, 3, generator=generator) for _ in range(3)] + [torch.tensor(0.1)]


@pytest.mark.parametrize("name", FORMULAS)
def test_the_values_of_the_pure_update_come_to_lie_in_its_inputs(name):
    optimizer = Update([torch.nn.Parameter(torch.zeros(2))], FORMULAS[name])
    captured = capture_elementwise(optimizer, optimizer.param_groups[0], torch.zeros(2))
    param, grad, buffer, lr = inputs()
    expected = FORMULAS[name](*(tensor.clone() for tensor in (param, grad, buffer, lr)))
    in_place(captured)(param, grad, buffer, lr)
    assert torch.equal(param, expected[0])
    assert torch.equal(buffer, expected[1])
    assert torch.equal(grad, inputs()[1])
    assert torch.equal(lr, inputs()[3])


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_momentum_needs_no_temporary():
    optimizer = SGD([torch.nn.Parameter(torch.zeros(2))], momentum=0.9)
    group = optimizer.param_groups[0]
    captured = capture_elementwise(optimizer, group, torch.zeros(2))
    param, grad, buffer, lr = inputs()
    share, update = torch.tensor(1.0), in_place(captured)
    with Count() as count:
        update(param, grad, buffer, lr, share)
    assert count.names == ["mul_", "addcmul_", "neg", "addcmul_"]


def test_the_captured_graph_stays_pure():
    optimizer = SGD([torch.nn.Parameter(torch.zeros(2))], momentum=0.9)
    captured = capture_elementwise(optimizer, optimizer.param_groups[0], torch.zeros(2))
    before = str(captured.graph)
    in_place(captured)
    assert str(captured.graph) == before
