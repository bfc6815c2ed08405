"""What the table of examples does not show of arithmetic: what is kept, in place, mixed dtypes, zeros and wrong shapes."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.manual import Tape

BASES = [-2.0, -0.0, 0.0, 0.5, 2.0, math.inf, math.nan]


def test_a_product_with_a_constant_keeps_the_constant_only():
    x, constant = torch.randn(3, requires_grad=True), torch.randn(3)
    with Tape() as tape:
        x * constant
    assert [saved is constant for saved in tape.nodes[0].saved] == [True, False]


def test_a_quotient_by_a_constant_does_not_keep_the_numerator():
    x = torch.randn(3, requires_grad=True)
    with Tape() as tape:
        x / torch.ones(3)
    assert not any(saved is x for saved in tape.nodes[0].saved)


def test_a_constant_receives_no_gradient():
    x, constant = torch.randn(3, requires_grad=True), torch.randn(3)
    with Tape() as tape:
        loss = (x * constant + constant - constant / (x * x + 1)).sum()
    tape.backward(loss)
    assert constant.grad is None
    assert x.grad is not None


def test_a_tensor_used_twice_receives_both_gradients():
    x = torch.tensor([3.0], requires_grad=True)
    with Tape() as tape:
        loss = (x * x + x).sum()
    tape.backward(loss)
    assert x.grad.item() == 7.0


def test_mixed_dtypes_give_each_gradient_the_dtype_of_its_tensor(differentiate):
    one, two = torch.randn(2, 3, requires_grad=True), torch.randn(3, dtype=torch.float64, requires_grad=True)
    for function in (torch.add, torch.sub, torch.mul, torch.div):
        found = differentiate(function, [one, two], "formula")
        expected = differentiate(function, [one, two])
        assert [grad.dtype for grad in found[1]] == [torch.float32, torch.float64]
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found[1], expected[1], strict=True))


@pytest.mark.parametrize("factor", [torch.tensor([True, False, True]), torch.tensor([2, 0, -3])], ids=["bool", "int"])
def test_a_factor_of_another_kind_scales_the_gradient(factor):
    x = torch.randn(3, requires_grad=True)
    with Tape() as tape:
        loss = (x * factor).sum()
    tape.backward(loss)
    assert torch.equal(x.grad, factor.float())


@pytest.mark.parametrize("exponent", [-1, 0, 0.5, 1, 2, 3.0])
def test_powers_of_special_bases_are_differentiated_as_by_autograd(exponent, differentiate):
    x = torch.tensor(BASES, dtype=torch.float64, requires_grad=True)
    _, (found,) = differentiate(lambda x: x**exponent, [x], "formula")
    _, (expected,) = differentiate(lambda x: x**exponent, [x])
    assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))
    assert torch.equal(found.isnan(), expected.isnan())


@pytest.mark.parametrize("base", [-2.0, 0.0, 0.5, 1.0, math.inf])
def test_special_bases_to_a_tensor_are_differentiated_as_by_autograd(base, differentiate):
    x = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    _, (found,) = differentiate(lambda x: base**x, [x], "formula")
    _, (expected,) = differentiate(lambda x: base**x, [x])
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))


def test_a_zero_to_a_tensor_has_no_slope_in_the_exponent(differentiate):
    base = torch.tensor([0.0, 0.0, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    exponent = torch.tensor([0.0, 2.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    _, found = differentiate(torch.pow, [base, exponent], "formula")
    _, expected = differentiate(torch.pow, [base, exponent])
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert torch.equal(mine.nan_to_num(7.0), theirs.nan_to_num(7.0))


def test_a_quotient_by_zero_is_differentiated_as_by_autograd(differentiate):
    leaves = [torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([0.0, 0.0], requires_grad=True)]
    _, found = differentiate(torch.div, leaves, "formula")
    _, expected = differentiate(torch.div, leaves)
    assert str(found) == str(expected)


def test_a_chain_in_place_is_differentiated_step_by_step(differentiate):
    def function(x, y):
        h = x.clone()
        h += y
        h *= 2
        h /= 3
        h -= y
        return h.pow_(2)

    leaves = [torch.randn(2, 3, requires_grad=True), torch.randn(3, requires_grad=True)]
    found, expected = differentiate(function, leaves, "formula"), differentiate(function, leaves)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found[1], expected[1], strict=True))


def test_a_product_in_place_with_itself_keeps_what_it_was(differentiate):
    def function(x):
        h = x * 1
        return h.mul_(h)

    x = torch.randn(3, requires_grad=True)
    (found,) = differentiate(function, [x], "formula")[1]
    assert torch.equal(found, differentiate(lambda x: x * x, [x])[1][0])


@pytest.mark.parametrize("function", [torch.add, torch.sub, torch.mul, torch.div, torch.pow, torch.lerp])
def test_shapes_that_do_not_broadcast_fail_as_in_torch(function):
    arguments = [torch.ones(2, 3, requires_grad=True), torch.ones(4), *([0.5] if function is torch.lerp else [])]
    with pytest.raises(RuntimeError, match="size of tensor") as expected:
        function(*arguments)
    with pytest.raises(RuntimeError) as found, Tape():
        function(*arguments)
    assert str(found.value) == str(expected.value)


def test_plus_x_is_x_itself():
    x = torch.randn(3, requires_grad=True)
    with Tape() as tape:
        y = +x
    assert y is x
    assert not tape.nodes
