"""The functional step: one graph by make_fx, and the bits of the readable step over a schedule."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainloop.manual import Tape
from trainloop.manual.functional import FunctionalStep
from trainloop.manual.optim import OPTIMIZERS
from trainloop.models.resnet import resnet18
from trainloop.models.small_cnn import small_cnn

STEPS = 20


def lr_at(step):
    return 0.1 * (1 - step / (2 * STEPS))


def batch(step, size=4):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(size, 3, 32, 32, generator=generator), torch.randint(0, 10, (size,), generator=generator)


def readable_step(model, optimizer, x, labels):
    optimizer.zero_grad()
    with Tape() as tape:
        loss = F.cross_entropy(model(x), labels)
    tape.backward(loss)
    optimizer.step()
    return loss


def set_lr(optimizer, lr):
    for group in optimizer.param_groups:
        group["lr"] = lr


def assert_same_values(training, model, optimizer):
    for name, param in model.named_parameters():
        assert torch.equal(training.params[name], param), name
        for key, value in optimizer.state[param].items():
            assert torch.equal(training.state[name][key], value), (name, key)
    for name, buffer in model.named_buffers():
        assert torch.equal(training.buffers[name], buffer), name


MODELS = {"small_cnn": small_cnn, "resnet18": resnet18}
SETTINGS = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3, "weight_decay": 0.05},
}


def captured(model, optimizer):
    step = FunctionalStep(model, F.cross_entropy, optimizer)
    training = step.begin()
    return step, step.capture(training, *batch(0)), training


@pytest.mark.parametrize(
    ("name", "width", "optimizer_name"),
    [
        ("small_cnn", 32, "sgd"),
        ("small_cnn", 32, "adamw"),
        ("resnet18", 8, "sgd"),
        pytest.param("resnet18", 64, "sgd", marks=pytest.mark.long),
    ],
)
def test_one_graph_has_the_bits_of_the_readable_step_over_a_schedule(name, width, optimizer_name):
    torch.manual_seed(1)
    model = MODELS[name](width=width)
    model.train()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters(), **SETTINGS[optimizer_name])
    step, graph, training = captured(model, optimizer)
    for number in range(1, STEPS + 1):
        set_lr(optimizer, lr_at(number) * SETTINGS[optimizer_name]["lr"])
        x, labels = batch(number)
        stepped = graph(training, x, labels, step.scalars(training, number))
        loss = readable_step(model, optimizer, x, labels)
        training = stepped.training
        assert torch.equal(stepped.loss, loss), number
    assert_same_values(training, model, optimizer)


def test_the_comparison_notices_another_lr():
    torch.manual_seed(1)
    model = small_cnn()
    optimizer = OPTIMIZERS["sgd"](model.parameters(), lr=0.1)
    step, graph, training = captured(model, optimizer)
    scalars = step.scalars(training, 1)
    set_lr(optimizer, 0.1000001)
    readable_step(model, optimizer, *batch(0))
    with pytest.raises(AssertionError, match=r"block1\.0\.weight"):
        assert_same_values(graph(training, *batch(0), scalars).training, model, optimizer)


def test_the_graph_is_plain_library_operations():
    torch.manual_seed(1)
    model = small_cnn()
    _, graph, _ = captured(model, OPTIMIZERS["sgd"](model.parameters(), lr=0.1))
    assert {node.op for node in graph.graph.nodes} <= {"placeholder", "call_function", "output"}
    assert not [node for node in graph.graph.nodes if "_local_scalar_dense" in str(node.target)]


def test_the_arguments_and_the_model_are_left_as_they_are():
    torch.manual_seed(1)
    model = small_cnn()
    optimizer = OPTIMIZERS["sgd"](model.parameters(), **SETTINGS["sgd"])
    step = FunctionalStep(model, F.cross_entropy, optimizer)
    training = step.begin()
    before = {name: value.clone() for name, value in (*training.params.items(), *training.buffers.items())}
    step(training, *batch(0), step.scalars(training, 1))
    held = dict((*model.named_parameters(), *model.named_buffers()))
    for name, value in (*training.params.items(), *training.buffers.items()):
        assert torch.equal(value, before[name]), name
        assert torch.equal(held[name], before[name]), name
    assert not optimizer.state
    assert all(param.grad is None for param in model.parameters())


class Shared(nn.Module):
    """One weight under two names, one frozen, one that nothing uses."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.two.bias.requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.two(self.one(x))


def test_shared_frozen_and_unused_parameters():
    torch.manual_seed(1)
    model = Shared()
    optimizer = OPTIMIZERS["sgd"]([param for param in model.parameters() if param.requires_grad], lr=0.1)
    step = FunctionalStep(model, F.cross_entropy, optimizer)
    x, labels = torch.randn(3, 4), torch.tensor([0, 2, 1])
    training = step(step.begin(), x, labels, step.scalars(step.begin(), 1)).training
    readable_step(model, optimizer, x, labels)
    for name, param in model.named_parameters():
        assert torch.equal(training.params[name], param), name


def test_groups_have_numbers_of_their_own():
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    optimizer = OPTIMIZERS["adam"]([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}], lr=0.01)
    step = FunctionalStep(model, F.cross_entropy, optimizer)
    x, labels = torch.randn(3, 4), torch.tensor([0, 2, 1])
    training = step(step.begin(), x, labels, step.scalars(step.begin(), 1)).training
    readable_step(model, optimizer, x, labels)
    assert_same_values(training, model, optimizer)


def test_an_optimizer_of_another_model_is_refused():
    optimizer = OPTIMIZERS["sgd"](nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the optimizer has 2 parameters that are not the model's"):
        FunctionalStep(small_cnn(), F.cross_entropy, optimizer)


def test_an_optimizer_that_cannot_be_captured_is_refused(monkeypatch):
    model = nn.Linear(2, 2)
    optimizer = OPTIMIZERS["sgd"](model.parameters(), lr=0.1)
    monkeypatch.setattr(type(optimizer), "capturable_reason", "it asks a tensor for a number")
    with pytest.raises(ValueError, match="SGD cannot be captured: it asks a tensor for a number"):
        FunctionalStep(model, F.cross_entropy, optimizer)


def test_parameters_of_a_group_with_different_numbers_of_steps_are_refused():
    model = nn.Linear(2, 2)
    optimizer = OPTIMIZERS["adam"](model.parameters(), lr=0.1)
    model.weight.grad = torch.ones(2, 2)
    optimizer.step()
    with pytest.raises(ValueError, match=r"group 0 have taken different numbers of steps: \[0\.0, 1\.0\]"):
        FunctionalStep(model, F.cross_entropy, optimizer).begin()
