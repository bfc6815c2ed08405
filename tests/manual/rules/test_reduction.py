"""What the table of examples does not show of reductions: zeros in products, no freedom, nothing to sum, one output of two."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize(
    "values",
    [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 0.0, 3.0], [4.0, 5.0, 6.0]], [[0.0, 0.0, 3.0], [4.0, 0.0, 6.0]]],
    ids=["no zero", "one zero", "three zeros"],
)
def test_a_product_with_zeros_is_differentiated_as_by_autograd(values, dim, differentiate):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)

    def product(x):
        return x.prod() if dim is None else x.prod(dim)

    _, (found,) = differentiate(product, [x], "formula")
    _, (expected,) = differentiate(product, [x])
    assert torch.equal(found, expected)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, :1].var(1),
        lambda x: x[:1, :1].var(),
        lambda x: x.var(correction=6),
        lambda x: x.var(1, correction=3),
        lambda x: x.var(1, correction=4),
        lambda x: (x * 0).std(1),
        lambda x: x[0, 0].var(),
    ],
)
def test_a_variance_without_freedom_is_differentiated_as_by_autograd(function, differentiate, draw):
    x = draw(2, 3, dtype=torch.float64)
    _, (found,) = differentiate(function, [x], "formula")
    _, (expected,) = differentiate(function, [x])
    assert str(found) == str(expected)


def test_a_variance_over_the_empty_list_of_dimensions_is_over_all(differentiate, draw):
    x = draw(2, 3, dtype=torch.float64)
    output, (gradient,) = differentiate(lambda x: x.var(()), [x], "formula")
    assert (output, str(gradient)) == (x.var(), str(differentiate(lambda x: x.var(), [x], "formula")[1][0]))


@pytest.mark.parametrize("function", [torch.sum, torch.mean, torch.var, torch.amax])
def test_dimensions_can_be_given_under_the_names_of_numpy(function, differentiate, draw):
    x = draw(2, 3)
    found, expected = (
        differentiate(lambda x: function(x, axis=1, keepdims=True), [x], form) for form in ("formula", None)
    )
    assert found[0].shape == (2, 1)
    assert torch.equal(found[1][0], expected[1][0])


@pytest.mark.parametrize("function", [torch.var_mean, torch.std_mean])
@pytest.mark.parametrize("used", [0, 1])
def test_one_of_two_outputs_can_stay_unused(function, used, differentiate, draw):
    x = draw(2, 3, dtype=torch.float64)
    _, (found,) = differentiate(lambda x: function(x, 1)[used], [x], "formula")
    _, (expected,) = differentiate(lambda x: function(x, 1)[used], [x])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("function", [torch.sum, torch.mean, torch.prod])
def test_nothing_to_reduce_has_an_empty_gradient(function):
    x = torch.zeros(0, 3, requires_grad=True)
    with Tape() as tape:
        y = function(x)
    tape.backward(y)
    assert x.grad.shape == (0, 3)


def test_a_sum_keeps_no_tensor():
    x = torch.randn(2, 3, requires_grad=True)
    with Tape() as tape:
        x.sum(1)
        x.mean((0, 1))
    assert not any(isinstance(saved, torch.Tensor) for node in tape.nodes for saved in node.saved)


def test_a_sum_in_another_dtype_gives_a_gradient_in_the_first(differentiate, draw):
    x = draw(2, 3)
    output, (found,) = differentiate(lambda x: x.mean(1, dtype=torch.float64), [x], "formula")
    assert output.dtype == torch.float64
    assert found.dtype == torch.float32
    assert torch.equal(found, differentiate(lambda x: x.mean(1, dtype=torch.float64), [x])[1][0])


@pytest.mark.parametrize("function", [torch.sum, torch.mean, torch.var, torch.prod, torch.cumsum])
def test_a_dimension_out_of_range_fails_as_in_torch(function):
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(IndexError, match="got 2") as expected:
        function(x, 2)
    with pytest.raises(IndexError) as found, Tape():
        function(x, 2)
    assert str(found.value) == str(expected.value)


def test_a_mean_of_integers_fails_as_in_torch():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="mean"), Tape():
        x.mean(dtype=torch.int64)
