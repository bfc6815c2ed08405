"""The manual backward against ``loss.backward()``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual.backward import backward
from trainloop.manual.zero_grad import zero_grad


def make_model(channels_last=False):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(16, 5))
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    model[0].bias.requires_grad_(False)
    return model.to(memory_format=torch.channels_last) if channels_last else model


def loss_of(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_NCHW = torch.randn(6, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 5, (6,), generator=generator)
    return F.cross_entropy(model(x_NCHW), labels)


def assert_same_grads(ours, theirs):
    for (name, one), (_, two) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        if two.grad is None:
            assert one.grad is None, name
        else:
            assert torch.equal(one.grad, two.grad), name
            assert one.grad.stride() == two.grad.stride(), name


def test_gradients_have_the_bits_of_torch():
    ours, theirs = make_model(), make_model()
    backward(loss_of(ours), ours.parameters())
    loss_of(theirs).backward()
    assert_same_grads(ours, theirs)


def test_gradients_have_the_layout_of_their_parameter():
    ours, theirs = make_model(channels_last=True), make_model(channels_last=True)
    backward(loss_of(ours), ours.parameters())
    loss_of(theirs).backward()
    assert_same_grads(ours, theirs)


def test_a_second_backward_adds():
    ours, theirs = make_model(), make_model()
    for seed in (0, 1):
        backward(loss_of(ours, seed), ours.parameters())
        loss_of(theirs, seed).backward()
    assert_same_grads(ours, theirs)


def test_an_unreached_parameter_keeps_none_and_a_frozen_one_too():
    model = make_model()
    backward(loss_of(model), model.parameters())
    assert model.unused.grad is None
    assert model[0].bias.grad is None
    assert model[0].weight.grad is not None


def test_zero_grad_forgets():
    model = make_model()
    backward(loss_of(model), model.parameters())
    zero_grad(model.parameters())
    assert all(param.grad is None for param in model.parameters())
