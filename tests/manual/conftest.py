"""Runs a situation, two leaves of shape (4, 6) → a tensor, under autograd and under a tape, and compares what comes out."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape
from trainloop.tolerance import tolerance


def leaves():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]


def weighted(y):
    generator = torch.Generator().manual_seed(1)
    return (y * torch.randn(y.shape, generator=generator, dtype=torch.float64)).sum()


def under_autograd(situation):
    x, w = leaves()
    y = situation(x, w)
    weighted(y).backward()
    return y.detach(), [x.grad, w.grad]


def under_the_tape(situation):
    x, w = leaves()
    with Tape() as tape:
        y = situation(x, w)
        loss = weighted(y)
    tape.backward(loss)
    return y.detach(), [x.grad, w.grad]


def assert_same(ours, theirs):
    assert torch.equal(ours[0], theirs[0])
    for mine, reference in zip(ours[1], theirs[1], strict=True):
        assert (mine is None) == (reference is None)
        if reference is not None:
            bound = tolerance("float64", "gradient").bound(float(reference.abs().max()))
            assert float((mine - reference).abs().max()) <= bound


@pytest.fixture
def same_gradients():
    """Assert that the tape gives the gradients that autograd gives."""

    def check(situation):
        assert_same(under_the_tape(situation), under_autograd(situation))

    return check


@pytest.fixture
def both_refuse():
    """Assert that autograd raises, and the tape too, with a message that matches."""

    def with_message(message):
        def check(situation):
            with pytest.raises(RuntimeError):
                under_autograd(situation)
            with pytest.raises(RuntimeError, match=message):
                under_the_tape(situation)

        return check

    return with_message


@pytest.fixture
def same_gradients_as():
    """Assert that the tape gives the gradients of another way to write it, though autograd refuses this one."""

    def with_reference(reference):
        def check(situation):
            with pytest.raises(RuntimeError):
                under_autograd(situation)
            assert_same(under_the_tape(situation), under_autograd(reference))

        return check

    return with_reference
