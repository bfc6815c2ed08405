"""What the table of examples does not show of norms: zeros, ties, NaN, and what has no gradient or no rule."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.errors import NoRuleError

ORDERS = [0.5, 1, 1.5, 2, 3, math.inf, -math.inf, -1]
ROWS = [[0.0, 0.0, 0.0], [2.0, -2.0, 1.0], [0.0, 1.0, -1.0], [math.nan, 1.0, 2.0]]


@pytest.mark.parametrize("order", ORDERS)
def test_zeros_ties_and_nan_are_differentiated_as_by_autograd(order, differentiate):
    x = torch.tensor(ROWS, dtype=torch.float64, requires_grad=True)

    def norm(x):
        return torch.linalg.vector_norm(x, order, 1)

    _, (found,) = differentiate(norm, [x], "formula")
    _, (expected,) = differentiate(norm, [x])
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))


def test_the_number_of_elements_that_are_not_zero_has_no_gradient():
    x = torch.ones(3, requires_grad=True)
    with Tape() as tape:
        y = torch.linalg.vector_norm(x, 0)
    tape.backward(y)
    assert y == 3
    assert x.grad is None


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.norm(x, "nuc"), lambda x: torch.linalg.norm(x, "nuc"), lambda x: torch.linalg.norm(x, 2)],
)
def test_a_norm_of_matrices_has_no_rule(function):
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(NoRuleError, match=r"no rule for torch\.linalg\.matrix_norm"), Tape():
        function(x)


def test_normalizing_a_zero_divides_by_eps(differentiate):
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found, expected = (differentiate(lambda x: F.normalize(x, eps=0.5), [x], form) for form in ("formula", None))
    assert torch.equal(found[0], torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    assert torch.equal(found[1][0], expected[1][0])
