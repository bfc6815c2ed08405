"""What the table of examples does not show of functions of one element: what is kept, and functions in place."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape
from trainloop.manual.rules.elementwise import ELEMENTWISE

KEEPS_OUTPUT = ["exp", "exp2", "expm1", "sqrt", "rsqrt", "reciprocal", "tan"]
STEPS = ["sign", "sgn", "floor", "ceil", "round", "trunc"]


@pytest.mark.parametrize("name", KEEPS_OUTPUT)
def test_what_keeps_its_output_keeps_no_input(name):
    x = torch.rand(3).requires_grad_()
    with Tape() as tape:
        y = ELEMENTWISE[name].functions[0](x)
    assert [saved is y for saved in tape.nodes[0].saved] == [True]


@pytest.mark.parametrize("name", KEEPS_OUTPUT)
def test_what_keeps_its_output_copies_nothing_in_place(name):
    x = torch.rand(3).requires_grad_()
    with Tape() as tape:
        h = x * 1
        y = ELEMENTWISE[name].inplace[0](h)
    assert y is h
    assert tape.nodes[-1].saved[0] is h


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE) - set(KEEPS_OUTPUT) - set(STEPS) - {"frac", "nan_to_num"}))
def test_what_keeps_its_input_keeps_what_it_was_before_the_call(name):
    x = torch.rand(3).requires_grad_()
    with Tape() as tape:
        h = x * 1
        ELEMENTWISE[name].inplace[0](h)
    assert torch.equal(tape.nodes[-1].saved[0], x.detach())


@pytest.mark.parametrize("name", STEPS)
def test_a_step_function_has_a_gradient_of_zeros(name):
    x = torch.randn(2, 3, requires_grad=True)
    with Tape() as tape:
        y = ELEMENTWISE[name].functions[0](x).sum()
    tape.backward(y)
    assert torch.equal(x.grad, torch.zeros(2, 3))
    assert not tape.nodes[0].saved


def test_a_chain_in_place_is_differentiated_step_by_step(differentiate, draw):
    def function(x):
        return (x * 1).abs_().add_(1).log_().sin_().exp_()

    x = draw(5, dtype=torch.float64)
    found, expected = differentiate(function, [x], "formula"), differentiate(function, [x])
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])
