"""What the table of examples does not show of matmul: constants and memory orders at real sizes, and wrong shapes."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape

SHAPES = [
    ((8, 40), (40, 30)),
    ((5, 8, 40), (40, 30)),
    ((8, 40), (5, 40, 30)),
    ((40,), (5, 40, 30)),
    ((5, 8, 40), (40,)),
    ((5, 8, 40), (5, 40, 30)),
    ((1, 8, 40), (5, 40, 30)),
    ((5, 8, 40), (1, 40, 30)),
    ((2, 3, 8, 40), (2, 3, 40, 8)),
    ((2, 1, 8, 40), (3, 40, 8)),
]


@pytest.mark.parametrize("by_columns", [(), (0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("constant", [None, 0, 1])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_at_real_sizes_it_has_the_bits_of_autograd(shapes, constant, by_columns, differentiate, draw):
    leaves = []
    for index, shape in enumerate(shapes):
        leaf = draw(*shape).detach()
        if index in by_columns and leaf.dim() > 1:
            leaf = leaf.mT.contiguous().mT
        leaves.append(leaf.requires_grad_(index != constant))
    found, expected = differentiate(torch.matmul, leaves, "formula"), differentiate(torch.matmul, leaves)
    assert torch.equal(found[0], expected[0])
    for mine, theirs in zip(found[1], expected[1], strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((), (3,)), "0D and 1D"),
        (((4, 3), (5, 2)), "4x3 and 5x2"),
        (((3,), (5,)), "5"),
        (((2, 4, 3), (5, 2)), "8x3 and 5x2"),
    ],
)
def test_sizes_that_do_not_fit_fail_as_in_torch(shapes, message, draw):
    leaves = [draw(*shape) for shape in shapes]
    with pytest.raises(RuntimeError, match=message) as expected:
        torch.matmul(*leaves)
    with pytest.raises(RuntimeError) as found, Tape():
        torch.matmul(*leaves)
    assert str(found.value) == str(expected.value)


def test_batches_that_do_not_broadcast_fail():
    with pytest.raises(RuntimeError, match="2"), Tape():
        torch.ones(2, 4, 3, requires_grad=True) @ torch.ones(3, 3, 4)


def test_the_sign_works_from_both_sides(differentiate, draw):
    for function in (lambda a, b: a @ b, lambda a, b: b.__rmatmul__(a)):
        leaves = [draw(4, 3), draw(3, 5)]
        found, expected = differentiate(function, leaves, "formula"), differentiate(torch.mm, leaves)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found[1], expected[1], strict=True))


def test_a_contraction_sums_where_the_other_has_size_one(differentiate, draw):
    leaves = [draw(2, 3), draw(1, 4)]
    found, expected = (differentiate(lambda a, b: torch.tensordot(a, b, 1), leaves, form) for form in ("formula", None))
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found[1], expected[1], strict=True))
