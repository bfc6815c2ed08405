"""Einstein summation: the ways to write it, and what an equation may not say."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape

A, B = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)


def ours(*arguments):
    arguments = [
        argument.clone().requires_grad_() if isinstance(argument, torch.Tensor) else argument for argument in arguments
    ]
    with Tape() as tape:
        output = torch.einsum(*arguments)
    assert tape.nodes
    return output.detach()


def test_lists_of_numbers_for_labels():
    assert torch.equal(ours(A, [0, 1], B, [1, 2], [0, 2]), A @ B)


def test_spaces_mean_nothing():
    assert torch.equal(ours(" i j , jk->i k ", A, B), A @ B)


def test_capitals_come_before_small_letters_in_an_output_that_is_not_named():
    assert torch.equal(ours("aB", A), A.t())


@pytest.mark.parametrize(
    ("equation", "operands", "message"),
    [
        ("ij, jk -> ik", (A,), "names 2 operands, found 1"),
        ("ijk -> i", (A,), r"does not fit an operand of shape \(2, 3\)"),
        ("ijk... -> i", (A,), r"does not fit an operand of shape \(2, 3\)"),
        ("ij -> k", (A,), "label k of the output"),
        ("ij -> ii", (A,), "label i of the output"),
        ("i1 -> i", (A,), "label '1' in 'i1'"),
        ("ij, ij -> i", (A, B), r"label i has the sizes \[2, 3\]"),
    ],
)
def test_an_equation_that_does_not_fit_is_refused_as_by_torch(equation, operands, message):
    with pytest.raises(RuntimeError):
        torch.einsum(equation, *operands)
    with pytest.raises(ValueError, match=message):
        ours(equation, *operands)
