"""What the table of examples does not show of products of matrices: real sizes, memory orders, what is kept, wrong shapes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape


def same(found, expected):
    assert torch.equal(found[0], expected[0])
    for mine, theirs in zip(found[1], expected[1], strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("shape", "columns"), [((128, 512), 10), ((2, 50, 96), 33), ((1, 7), 1), ((2, 7, 7, 24), 48)], ids=str
)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_at_real_sizes_has_the_bits_of_autograd(shape, columns, bias, differentiate, draw):
    leaves = [draw(*shape), draw(columns, shape[-1]), *([draw(columns)] if bias else [])]
    same(differentiate(F.linear, leaves, "formula"), differentiate(F.linear, leaves))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "order",
    [lambda x: x.transpose(0, 1), lambda x: x.transpose(1, 2).reshape(5, 6, 7).transpose(0, 2)],
    ids=["01", "02"],
)
def test_linear_of_rows_that_are_no_neighbours_has_the_bits_of_autograd(order, bias, differentiate, draw):
    def function(x, *parameters):
        return F.linear(order(x), *parameters)

    x = draw(5, 7, 6)
    inner = order(x.detach()).shape[-1]
    leaves = [x, draw(9, inner), *([draw(9)] if bias else [])]
    same(differentiate(function, leaves, "formula"), differentiate(function, leaves))


def test_linear_with_a_weight_stored_by_columns_has_the_bits_of_autograd(differentiate, draw):
    leaves = [draw(8, 6), draw(6, 5), draw(5)]
    same(
        differentiate(lambda x, w, b: F.linear(x, w.t(), b), leaves, "formula"),
        differentiate(lambda x, w, b: F.linear(x, w.t(), b), leaves),
    )


def test_linear_with_a_vector_as_weight_gives_one_number_a_row(differentiate, draw, assert_close):
    leaves = [draw(5, 4, 3), draw(3)]
    found, expected = differentiate(F.linear, leaves, "formula"), differentiate(F.linear, leaves)
    assert found[0].shape == (5, 4)
    for mine, theirs in zip(found[1], expected[1], strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize(("frozen", "kept"), [(0, 0), (1, 1)])
def test_linear_keeps_only_what_the_other_factor_needs(frozen, kept):
    factors = [torch.randn(4, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)]
    factors[frozen].requires_grad_(False)
    with Tape() as tape:
        F.linear(*factors)
    assert [saved is not None for saved in tape.nodes[0].saved[:2]] == [index == kept for index in range(2)]


def test_a_frozen_weight_receives_no_gradient():
    x, weight, bias = torch.randn(4, 3, requires_grad=True), torch.randn(2, 3), torch.randn(2, requires_grad=True)
    with Tape() as tape:
        loss = F.linear(x, weight, bias).sum()
    tape.backward(loss)
    assert weight.grad is None
    assert torch.equal(bias.grad, torch.full((2,), 4.0))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (F.linear, ((4, 3), (2, 5))),
        (F.linear, ((4, 3), (2, 3), (5,))),
        (torch.mm, ((4, 3), (2, 5))),
        (torch.bmm, ((2, 4, 3), (2, 5, 1))),
        (torch.addmm, ((7,), (4, 3), (3, 5))),
        (torch.mv, ((4, 3), (5,))),
        (torch.dot, ((3,), (5,))),
    ],
)
def test_sizes_that_do_not_fit_fail_as_in_torch(function, shapes, draw):
    leaves = [draw(*shape) for shape in shapes]
    with pytest.raises(RuntimeError, match="5") as expected:
        function(*leaves)
    with pytest.raises(RuntimeError) as found, Tape():
        function(*leaves)
    assert str(found.value) == str(expected.value)
