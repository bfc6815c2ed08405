from __future__ import annotations

import torch

from trainloop.explain import tiny
from trainloop.explain.formulas import first_block
from trainloop.explain.tiny import TinyNet, tiny_batch, tiny_loss


def test_the_numbers_of_the_docstring_are_those_of_the_network():
    model, batch = TinyNet(), tiny_batch()
    assert model.first(batch.x).tolist() == [[2.0, -2.0]]
    assert model.relu(model.first(batch.x) + model.shift).tolist() == [[2.5, 0.0]]
    assert model(batch.x).item() == 3.0
    assert tiny_loss(model(batch.x), batch.y).item() == 1.0
    lines = "\n".join(first_block(tiny.__doc__))
    for fact in (
        "first = (1 0.5; −1 −0.5)",
        "shift = 0.5",
        "x = (1, 2)",
        "last = (0.5 1)",
        "scale = 2",
        "(output − 2)²",
    ):
        assert fact in lines


def test_one_parameter_is_frozen_and_one_unused():
    model, batch = TinyNet(), tiny_batch()
    tiny_loss(model(batch.x), batch.y).backward()
    without = {name for name, param in model.named_parameters() if param.grad is None}
    assert without == {"scale", "unused"}
    assert not model.scale.requires_grad


def test_the_gradients_can_be_found_by_hand():
    model, batch = TinyNet(), tiny_batch()
    tiny_loss(model(batch.x), batch.y).backward()
    # 2 (output − 2) = 2 arrives at the output, 2 · scale · last = (2, 4) at hidden, and relu stops the second.
    assert torch.equal(model.first.weight.grad, torch.tensor([[2.0, 4.0], [0.0, 0.0]]))
    assert torch.equal(model.last.weight.grad, torch.tensor([[10.0, 0.0]]))
    assert model.shift.grad.item() == 4.0
