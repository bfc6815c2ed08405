"""What every module returned, and putting other values in its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.compare.activations import Activations, put
from trainloop.manual import Tape


class Tuples(nn.Module):
    def forward(self, x):
        return x + 1, {"deep": x + 2, "count": 3}, [x + 3]


class Around(nn.Module):
    """A model around one module."""

    def __init__(self, inner, times=1):
        super().__init__()
        self.inner, self.times = inner, times

    def forward(self, x):
        for _ in range(self.times):
            x = self.inner(x)
        return x


def seen(model, x, **options):
    with Activations(model, **options) as found:
        model(x)
    return found.outputs


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))


X = torch.arange(6.0).reshape(2, 3)


def test_each_module_is_noted_by_name_in_the_order_of_return():
    assert list(seen(net(), X)) == ["0", "1.0", "1.1", "1"]


def test_the_outputs_are_what_the_modules_returned():
    model = net()
    assert torch.equal(seen(model, X)["1.1"], model(X))


def test_a_second_call_has_a_number():
    found = seen(Around(nn.Linear(3, 3), times=3), X)
    assert list(found) == ["inner", "inner#2", "inner#3"]


def test_items_of_tuples_lists_and_dicts_have_their_place_in_the_name():
    assert list(seen(Around(Tuples()), X)) == ["inner[0]", "inner[1][deep]", "inner[2][0]"]


def test_what_is_no_floating_point_tensor_is_left_out():
    class Indices(nn.Module):
        def forward(self, x):
            return x.argmax(1)

    assert seen(Around(Indices()), X) == {}


def test_a_later_change_in_place_does_not_reach_what_was_noted():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    found = seen(model, X)
    assert bool((found["0"] < 0).any())
    assert torch.equal(found["1"], found["0"].relu())


def test_names_can_be_changed():
    assert list(seen(net(), X, rename=lambda name: f"r{name}")) == ["r0", "r1.0", "r1.1", "r1"]


def test_nobody_listens_after_the_block():
    model = net()
    found = seen(model, X)
    model(X + 1)
    assert torch.equal(found["1"], model(X))
    assert not model[0]._forward_hooks


def test_nobody_listens_after_an_error():
    model = net()
    with pytest.raises(RuntimeError, match="shapes"):
        seen(model, torch.zeros(2, 7))
    assert not model[0]._forward_hooks


# Feeding


def test_the_next_module_gets_what_was_fed():
    model, fed = net(), {"0": torch.full((2, 4), 2.0)}
    found = seen(model, X, fed=fed)
    assert torch.equal(found["1.1"], model[1](fed["0"]))


def test_what_was_noted_is_from_before_the_feeding():
    model = net()
    found = seen(model, X, fed={"0": torch.zeros(2, 4)})
    assert torch.equal(found["0"], model[0](X))


def test_feeding_the_same_bits_changes_nothing():
    model = net()
    plain = seen(model, X)
    fed = seen(model, X, fed=plain)
    assert all(torch.equal(plain[name], fed[name]) for name in plain)


def test_the_gradient_is_that_of_the_fed_values():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 1, bias=False))
    with Activations(model, {"1": torch.full((2, 3), 0.5)}):
        model(X).sum().backward()
    assert torch.equal(model[2].weight.grad, torch.ones(1, 3))
    assert torch.allclose(model[0].bias.grad, 2 * 0.25 * model[2].weight.detach()[0])


def test_a_tape_gets_the_gradient_of_the_fed_values_too():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 1, bias=False))
    with Activations(model, {"1": torch.full((2, 3), 0.5)}), Tape() as tape:
        loss = model(X).sum()
    tape.backward(loss)
    assert torch.equal(model[2].weight.grad, torch.ones(1, 3))


def test_what_is_fed_in_float32_arrives_in_the_dtype_of_the_model():
    model = net().double()
    found = seen(model, X.double(), fed={"0": torch.ones(2, 4)})
    assert torch.equal(found["1.1"], model[1](torch.ones(2, 4).double()))


# put


def test_put_overwrites_in_place():
    x = torch.zeros(2)
    put(x, torch.ones(2))
    assert torch.equal(x, torch.ones(2))


def test_put_does_not_count_as_a_change_where_the_bits_agree():
    x = torch.ones(2)
    version = x._version
    put(x, torch.ones(2))
    assert x._version == version


def test_put_does_not_disturb_the_graph():
    x = torch.ones(2, requires_grad=True)
    y = x * 3
    put(y, torch.zeros(2))
    (y * y).sum().backward()
    assert torch.equal(x.grad, torch.zeros(2))


def test_put_tells_minus_zero_from_zero():
    x = torch.zeros(1)
    put(x, torch.tensor([-0.0]))
    assert bool(x.signbit())


@pytest.mark.parametrize("value", [torch.ones(3), torch.ones(2, 1)])
def test_put_leaves_another_shape_alone(value):
    x = torch.zeros(2)
    put(x, value)
    assert torch.equal(x, torch.zeros(2))


def test_put_leaves_integers_alone():
    x = torch.zeros(2, dtype=torch.int64)
    put(x, torch.ones(2, dtype=torch.int64))
    assert torch.equal(x, torch.zeros(2, dtype=torch.int64))


def test_put_leaves_elements_that_share_memory_alone():
    x = torch.zeros(1).expand(3)
    put(x, torch.arange(3.0))
    assert torch.equal(x, torch.zeros(3))
