"""Overwriting: dtypes and shapes of what is written, and what is refused."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape
from trainloop.manual.errors import RefusedError


@pytest.fixture
def x():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_a_source_of_another_dtype_receives_its_own_dtype(x):
    target = torch.zeros(3, 4, dtype=torch.float64)
    with Tape() as tape:
        target.copy_(x)
        loss = (target * 2).sum()
    tape.backward(loss)
    assert x.grad.dtype == torch.float32
    assert torch.equal(x.grad, torch.full((3, 4), 2.0))


def test_an_assigned_value_of_another_dtype_receives_its_own_dtype(x):
    target = torch.zeros(3, dtype=torch.float64)
    with Tape() as tape:
        target[:] = x[:, 0]
        loss = target.sum()
    tape.backward(loss)
    assert x.grad.dtype == torch.float32
    assert x.grad.sum() == 3


def test_setitem_returns_nothing(x):
    with Tape():
        h = x * 1
        assert h.__setitem__(0, 1.0) is None
        assert torch.equal(h[0].detach(), torch.ones(4))


def test_a_value_that_does_not_fit_is_torchs_error(x):
    with Tape(), pytest.raises(RuntimeError, match=r"expanded size of the tensor \(4\) must match"):
        (x * 1)[0] = x[:, 0]


def test_scatter_with_a_reduction_is_refused(x):
    index = torch.zeros(3, 1, dtype=torch.int64)
    with Tape(), pytest.raises(RefusedError, match="scatter with reduce='add' has no gradient"):
        x.scatter(1, index, torch.ones(3, 1), reduce="add")


def test_the_target_of_an_assignment_keeps_its_other_gradients(x):
    with Tape() as tape:
        h = x * 1
        h[1] = 5.0
        loss = h.sum()
    tape.backward(loss)
    assert torch.equal(x.grad, torch.tensor([[1.0], [0.0], [1.0]]).expand(3, 4))
