"""Indexing: places read several times, embeddings whose gradient is not the derivative, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.errors import RefusedError
from trainloop.tolerance import tolerance

FORMS = ["aten", "formula"]


@pytest.fixture
def x():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def table():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()


def grad_of(leaf, function, form=None):
    """Return the gradient of a weighted sum of what the function returns; without a form autograd's."""
    leaf.grad = None
    if form is None:
        y = function()
        y.backward(weights(y))
        return leaf.grad
    with Tape(form=form) as tape:
        y = function()
    tape.backward(y, weights(y))
    return leaf.grad


def weights(y):
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(2))


def test_an_element_read_three_times_receives_three_gradients(x):
    with Tape() as tape:
        y = x[torch.tensor([1, 1, 1]), torch.tensor([2, 2, 2])]
    tape.backward(y, torch.tensor([1.0, 10.0, 100.0]))
    assert x.grad[1, 2] == 111
    assert x.grad.count_nonzero() == 1


def test_iterating_over_a_tensor_gives_each_row_its_gradient(x):
    found = grad_of(x, lambda: torch.stack([row * (index + 1) for index, row in enumerate(x)]), "formula")
    assert torch.equal(found, grad_of(x, lambda: torch.stack([row * (index + 1) for index, row in enumerate(x)])))


def test_an_index_out_of_range_is_torchs_error(x):
    with Tape(), pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        x[3]


@pytest.mark.parametrize("form", FORMS)
def test_the_padding_row_receives_nothing(table, form):
    labels = torch.tensor([[0, 2, 2], [4, 1, 2]])

    def look_up():
        return F.embedding(labels, table, padding_idx=2)

    found = grad_of(table, look_up, form)
    assert torch.equal(found[2], torch.zeros(3))
    assert torch.equal(found, grad_of(table, look_up))


@pytest.mark.parametrize("form", FORMS)
def test_a_row_looked_up_often_receives_the_mean_if_asked_to(table, form):
    labels = torch.tensor([0, 2, 2, 2, 4])

    def look_up():
        return F.embedding(labels, table, scale_grad_by_freq=True)

    expected = grad_of(table, look_up)
    found = grad_of(table, look_up, form)
    assert float((found - expected).abs().max()) <= tolerance("float32", "gradient").bound(float(expected.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_max_norm_scales_the_table_as_torch_does(table, form):
    labels = torch.tensor([0, 2])
    reference = table.detach().clone().requires_grad_()
    expected = grad_of(reference, lambda: F.embedding(labels, reference, max_norm=0.5))
    found = grad_of(table, lambda: F.embedding(labels, table, max_norm=0.5), form)
    assert torch.equal(table, reference)
    assert torch.equal(found, expected)


def test_sparse_gradients_are_refused(x, table):
    with Tape(), pytest.raises(RefusedError, match="embedding with sparse=True asks for a sparse gradient"):
        F.embedding(torch.tensor([0]), table, sparse=True)
    with Tape(), pytest.raises(RefusedError, match="gather with sparse_grad=True asks for a sparse gradient"):
        x.gather(1, torch.zeros(3, 1, dtype=torch.int64), sparse_grad=True)


def test_nan_in_a_gradient_stays_at_its_place(x):
    with Tape() as tape:
        y = x[torch.tensor([0, 2])]
    grad = torch.ones(2, 4)
    grad[1, 3] = float("nan")
    tape.backward(y, grad)
    assert x.grad.isnan().nonzero().tolist() == [[2, 3]]
