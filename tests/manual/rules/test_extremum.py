"""What the table of examples does not show of extrema and choices: ties, bounds, NaN, and what has no gradient."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.manual import Tape
from trainloop.manual.errors import RefusedError

TIED = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
SPECIAL = [1.0, 2.0, 3.0, math.nan, math.inf, -0.0]
OTHER = [2.0, 2.0, math.nan, math.nan, math.inf, 0.0]

TWO = [torch.maximum, torch.minimum, torch.fmax, torch.fmin, torch.max, torch.min, torch.clamp_min, torch.clamp_max]
ONE = [
    torch.max,
    torch.min,
    torch.median,
    torch.amax,
    torch.amin,
    lambda x: torch.max(x, 1)[0],
    lambda x: x.min(0, keepdim=True).values,
    lambda x: x.median(1).values,
    lambda x: x.amax(1),
    lambda x: x.amin((0, 1), keepdim=True),
]

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def assert_same(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert torch.equal(mine.nan_to_num(7.0), theirs.nan_to_num(7.0))


@pytest.mark.parametrize("function", TWO)
def test_ties_and_special_values_of_two_are_differentiated_as_by_autograd(function, differentiate):
    if function in (torch.fmax, torch.fmin) and TORCH < (2, 15):
        pytest.skip("torch before 2.15 gives the gradient of fmax and fmin to both numbers where the second is NaN")
    leaves = [torch.tensor(values, requires_grad=True) for values in (SPECIAL, OTHER)]
    assert_same(differentiate(function, leaves, "formula")[1], differentiate(function, leaves)[1])


@pytest.mark.parametrize("function", ONE)
@pytest.mark.parametrize("values", [TIED, [[1.0, math.nan, math.nan], [2.0, math.inf, 0.0]]], ids=["ties", "nan"])
def test_ties_and_special_values_of_one_are_differentiated_as_by_autograd(function, values, differentiate):
    x = torch.tensor(values, requires_grad=True)
    assert_same(differentiate(function, [x], "formula")[1], differentiate(function, [x])[1])


@pytest.mark.parametrize(
    "bounds", [(1.0, 2.0), (None, 2.0), (2.0, None), (2.0, 1.0)], ids=["both", "upper", "lower", "crossed"]
)
def test_clamp_at_its_bounds_is_differentiated_as_by_autograd(bounds, differentiate):
    x = torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5, math.nan], requires_grad=True)
    for function in (torch.clamp, torch.clip):
        found = differentiate(lambda x, function=function: function(x, *bounds), [x], "formula")
        assert_same(found[1], differentiate(lambda x, function=function: function(x, *bounds), [x])[1])


def test_clamp_between_tensors_that_cross_is_differentiated_as_by_autograd(differentiate):
    values = ([0.5, 1.0, 1.5, 2.0, 3.0], [1.0, 1.0, 2.0, 2.0, 1.0], [2.0, 1.0, 1.0, 2.0, 2.0])
    leaves = [torch.tensor(value, requires_grad=True) for value in values]
    assert_same(differentiate(torch.clamp, leaves, "formula")[1], differentiate(torch.clamp, leaves)[1])


def test_clamp_without_bounds_fails_as_in_torch():
    with pytest.raises(RuntimeError, match="must not be None"), Tape():
        torch.clamp(torch.ones(3, requires_grad=True))


@pytest.mark.parametrize("function", [torch.clamp_min, torch.clamp_max])
def test_a_number_as_bound_is_no_tie(function, differentiate):
    x = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    _, (found,) = differentiate(lambda x: function(x, 1.0), [x], "formula")
    assert found[1] == 0
    assert torch.equal(found, differentiate(lambda x: function(x, 1.0), [x])[1][0])


def test_the_index_of_a_maximum_has_no_gradient_and_the_names_of_torch():
    x = torch.tensor(TIED, requires_grad=True)
    with Tape() as tape:
        found = torch.max(x, 1)
        loss = found.values.sum()
    assert torch.equal(found.indices, torch.max(x, 1).indices)
    assert not found.indices.requires_grad
    tape.backward(loss)
    assert x.grad.sum() == 2


def test_where_without_values_gives_indices():
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    with Tape() as tape:
        (indices,) = torch.where(x)
    assert indices.tolist() == [1, 2]
    assert not any(value for node in tape.nodes for value in node.outputs)


def test_where_keeps_only_the_condition():
    condition, x = torch.tensor([True, False]), torch.ones(2, requires_grad=True)
    with Tape() as tape:
        torch.where(condition, x, 0.0)
    assert [saved is condition for saved in tape.nodes[0].saved] == [True]


def test_where_passes_no_nan_of_the_branch_that_is_not_taken():
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    with Tape() as tape:
        loss = torch.where(x > 0, x, 0.0).sum()
    tape.backward(loss)
    assert torch.equal(x.grad, torch.tensor([0.0, 1.0]))


def test_masked_fill_of_a_tensor_value_sums_what_it_overwrote(differentiate, draw):
    mask = torch.rand(30, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    leaves = [draw(30, 40), draw()]
    found, expected = (
        differentiate(lambda x, value: x.masked_fill(mask, value), leaves, form)[1] for form in ("formula", None)
    )
    assert_same(found, expected)


def test_a_condition_that_requires_grad_is_refused():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RefusedError, match="rule masked_fill gives gradients to input, value only"), Tape():
        torch.ones(2).masked_fill(x * 1, 0.0)


@pytest.mark.parametrize("function", [torch.amax, torch.amin])
def test_an_extremum_of_nothing_fails_as_in_torch(function):
    x = torch.zeros(0, 3, requires_grad=True)
    with pytest.raises(IndexError, match="dim 0") as expected:
        function(x, 0)
    with pytest.raises(IndexError) as found, Tape():
        function(x, 0)
    assert str(found.value) == str(expected.value)
