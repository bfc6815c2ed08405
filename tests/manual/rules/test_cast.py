"""Casts that change nothing, casts to integers, and gradients in the dtype of what was cast."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.to(torch.float32),
        lambda x: x.to(x.device),
        lambda x: x.float(),
        lambda x: x.cpu(),
        lambda x: x.type(torch.float32),
        lambda x: x.type_as(x),
        lambda x: x.contiguous(),
    ],
)
def test_a_cast_that_changes_nothing_is_the_same_tensor_and_no_node(function):
    x = torch.randn(2, 3, requires_grad=True)
    with Tape() as tape:
        y = function(x)
    assert y is x
    assert not tape.nodes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_gradient_comes_back_in_the_dtype_of_its_tensor(dtype, differentiate, draw):
    x = draw(2, 3)
    found, expected = (differentiate(lambda x: (x * 2).to(dtype), [x], form) for form in ("formula", None))
    assert found[0].dtype == dtype
    assert found[1][0].dtype == torch.float32
    assert torch.equal(found[1][0], expected[1][0])


@pytest.mark.parametrize("function", [lambda x: x.to(torch.int64), lambda x: x.type(torch.int32), lambda x: x.bool()])
def test_a_cast_to_integers_ends_the_gradient(function):
    x = torch.tensor([1.5, 2.5], requires_grad=True)
    with Tape() as tape:
        loss = (x * function(x)).sum()
    tape.backward(loss)
    assert torch.equal(x.grad, function(x.detach()).float())


def test_the_name_of_a_type_is_a_string():
    with Tape():
        assert (torch.ones(2, requires_grad=True) * 1).type() == "torch.FloatTensor"


def test_a_copy_has_memory_of_its_own():
    x = torch.randn(2, 3, requires_grad=True)
    with Tape() as tape:
        y = x.to(torch.float32, copy=True)
        z = x.clone()
    assert len({tensor.data_ptr() for tensor in (x, y, z)}) == 3
    assert len(tape.nodes) == 2


def test_contiguous_of_another_order_is_a_copy_that_passes_the_gradient(differentiate, draw):
    x = draw(2, 3)
    found, expected = (differentiate(lambda x: x.t().contiguous() * 3, [x], form) for form in ("formula", None))
    assert found[0].is_contiguous()
    assert torch.equal(found[1][0], expected[1][0])
