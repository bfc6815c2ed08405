"""What the table of examples does not show of the activations: kinks, what is kept in place, draws."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.rules.activation import ACTIVATION

FORMS = ("aten", "formula")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("function", "kinks", "slopes"),
    [
        (F.relu, [0.0], [0.0]),
        (F.relu6, [0.0, 6.0], [0.0, 0.0]),
        (F.leaky_relu, [0.0], [0.01]),
        (F.hardsigmoid, [-3.0, 3.0], [0.0, 0.0]),
        (F.hardswish, [-3.0, 3.0], [0.0, 1.0]),
        (F.hardshrink, [-0.5, 0.5], [0.0, 0.0]),
        (lambda x: F.threshold(x, 2.0, 7.0), [2.0], [0.0]),
        (lambda x: F.prelu(x, torch.tensor([0.25])), [0.0], [0.25]),
    ],
)
def test_the_slope_at_a_kink(function, kinks, slopes, form):
    x = torch.tensor(kinks, requires_grad=True)
    with Tape(form=form) as tape:
        y = function(x).sum()
    tape.backward(y)
    assert torch.equal(x.grad, torch.tensor(slopes))


@pytest.mark.parametrize("form", FORMS)
def test_relu_keeps_its_output_and_nothing_else(form):
    x = torch.randn(3, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.relu(x)
    assert [saved is y for saved in tape.nodes[0].saved] == [True]


def test_relu_in_place_writes_into_its_argument():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with Tape() as tape:
        h = x * 3
        y = F.relu(h, inplace=True)
        loss = y.sum()
    tape.backward(loss)
    assert y is h
    assert torch.equal(x.grad, torch.tensor([0.0, 3.0]))


@pytest.mark.parametrize("form", FORMS)
def test_an_activation_that_needs_its_input_can_overwrite_it(form, differentiate, assert_close):
    def function(x):
        h = x * 1
        F.hardswish(h, inplace=True)
        return F.silu(h, inplace=True)

    x = torch.linspace(-4, 4, 9, requires_grad=True)
    _, (found,) = differentiate(function, [x], form)
    _, (expected,) = differentiate(function, [x])
    assert_close(found, expected)


def test_leaky_relu_in_place_with_a_negative_slope_is_differentiated_where_torch_refuses():
    def gradient(inplace):
        x = torch.tensor([-2.0, 3.0], requires_grad=True)
        with Tape() as tape:
            y = F.leaky_relu(x * 1, -0.5, inplace).sum()
        tape.backward(y)
        return x.grad

    assert torch.equal(gradient(inplace=True), gradient(inplace=False))
    assert torch.equal(gradient(inplace=True), torch.tensor([-0.5, 1.0]))


def test_prelu_with_a_weight_for_another_number_of_channels_fails_as_in_torch():
    x, weight = torch.randn(2, 3, requires_grad=True), torch.randn(4)
    with pytest.raises(RuntimeError) as expected:
        F.prelu(x, weight)
    with pytest.raises(RuntimeError) as found, Tape():
        F.prelu(x, weight)
    assert str(found.value) == str(expected.value)
    assert "4" in str(found.value)
    assert "3" in str(found.value)


def test_rrelu_draws_as_torch_in_any_memory_order(differentiate):
    x = torch.randn(4, 3).t().requires_grad_()
    found = differentiate(lambda x: F.rrelu(x, training=True), [x], "formula")
    expected = differentiate(lambda x: F.rrelu(x, training=True), [x])
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


@pytest.mark.parametrize("name", sorted(name for name, rule in ACTIVATION.items() if name != "prelu"))
def test_an_empty_batch_has_an_empty_gradient(name):
    x = torch.zeros(0, 4, requires_grad=True)
    arguments = {"threshold": (0.0, 1.0)}.get(name, ())
    with Tape() as tape:
        y = ACTIVATION[name].functions[0](x, *arguments).sum()
    tape.backward(y)
    assert x.grad.shape == (0, 4)
