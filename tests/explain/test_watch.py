from __future__ import annotations

import torch
from torch import nn

from trainloop.explain.tiny import TinyNet, tiny_batch, tiny_loss
from trainloop.explain.watch import WatchedTape, seen


def walk(model, x, loss, name):
    """Run forward and backward of a model; return the ways to a parameter, and the tape."""
    tape = WatchedTape()
    with tape:
        value = loss(model(x))
    ways = tape.watch(value, model.get_parameter(name))
    tape.backward(value)
    return ways, tape


def tiny_uses(name, index=()):
    model, batch = TinyNet(), tiny_batch()
    ways, tape = walk(model, batch.x, lambda output: tiny_loss(output, batch.y), name)
    return [way.use(tape.modules, index) for way in ways], model


def test_a_chain_leads_from_the_loss_to_the_parameter():
    (use,), _ = tiny_uses("first.weight", (0, 1))
    assert [link.rule for link in use.chain] == ["mse_loss", "add", "mul", "linear", "relu", "add", "linear"]
    assert (use.grad, use.num_paths) == (4.0, 1)


def test_each_link_knows_its_module_and_the_loss_has_none():
    (use,), _ = tiny_uses("last.weight", (0, 0))
    modules = [link.module for link in use.chain]
    assert modules == ["", "the model itself (TinyNet)", "the model itself (TinyNet)", "last (Linear)"]


def test_each_link_shows_the_gradient_that_arrives():
    (use,), _ = tiny_uses("first.weight", (0, 0))
    assert [link.grad_output.values for link in use.chain] == [
        (1.0,),
        (2.0,),
        (2.0,),
        (4.0,),
        (2.0, 4.0),
        (2.0, 0.0),
        (2.0, 0.0),
    ]
    assert use.chain[-1].grad_output.shape == (1, 2)


def test_each_link_tells_its_formula():
    (use,), _ = tiny_uses("first.weight", (0, 0))
    formulas = {link.rule: link.formula for link in use.chain}
    assert "grad_x = grad_l · 2 (x − t)" in formulas["mse_loss"]
    assert formulas["relu"].startswith("grad_input = ")


def test_a_parameter_used_twice_has_two_uses_that_add_up():
    uses, model = tiny_uses("shift")
    assert [use.grad for use in uses] == [2.0, 2.0]
    assert [len(use.chain) for use in uses] == [2, 6]
    assert model.shift.grad.item() == 4.0


def test_no_way_leads_to_what_is_frozen_or_unused():
    assert tiny_uses("scale")[0] == []
    assert tiny_uses("unused")[0] == []


class Residual(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.stem = nn.Linear(3, 3, bias=False)
        self.blocks = nn.ModuleList(nn.Linear(3, 3, bias=False) for _ in range(blocks))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return x


def test_ways_through_shortcuts_are_counted_and_the_shortest_is_shown():
    ways, tape = walk(Residual(5), torch.ones(2, 3), torch.sum, "stem.weight")
    use = ways[0].use(tape.modules, (0, 0))
    assert use.num_paths == 2**5
    assert [link.rule for link in use.chain] == ["sum", *["add"] * 5, "linear"]


def test_a_product_with_itself_is_one_use_of_two_ways():
    class Square(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            return self.p * self.p * x

    ways, tape = walk(Square(), torch.tensor(2.0), lambda y: y, "p")
    use = ways[0].use(tape.modules, ())
    assert (use.num_paths, use.grad) == (2, 12.0)


def test_an_expanded_function_notes_the_module_that_called_it():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU6())
    ways, tape = walk(model, torch.ones(1, 2), torch.sum, "0.weight")
    use = ways[0].use(tape.modules, (0, 0))
    assert [(link.rule, link.module) for link in use.chain][1] == ("hardtanh", "1 (ReLU6)")


def test_watching_changes_no_gradient():
    models = [Residual(3), Residual(3)]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    walk(models[0], x, torch.sum, "blocks.1.weight")
    models[1](x).sum().backward()
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)


def test_a_new_recording_forgets_the_old_notes():
    tape, model = WatchedTape(), TinyNet()
    for _ in range(2):
        tape.clear()
        with tape:
            loss = tiny_loss(model(tiny_batch().x), tiny_batch().y)
        tape.watch(loss, model.shift)
        tape.backward(loss)
    assert len(tape.modules) <= 2 * len(tape.nodes)


def test_few_numbers_are_shown_and_many_are_summed_up():
    assert seen(torch.tensor([3.0, -4.0])).values == (3.0, -4.0)
    many = seen(torch.ones(3, 3))
    assert (many.shape, many.norm, many.values) == ((3, 3), 3.0, ())
