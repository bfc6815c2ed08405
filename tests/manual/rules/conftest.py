"""Runs a function of some leaves under autograd, or under a tape with one form of the rules."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape
from trainloop.tolerance import tolerance


def weights(output):
    return torch.randn(output.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(output.dtype)


@pytest.fixture
def differentiate():
    """Return a function: (function, leaves, form) → (output, gradients); without a form autograd differentiates."""

    def run(function, leaves, form=None, grad_output=None):
        leaves = [leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in leaves]
        torch.manual_seed(3)
        if form is None:
            output = function(*leaves)
            output.backward(weights(output) if grad_output is None else grad_output)
        else:
            with Tape(form=form) as tape:
                output = function(*leaves)
            tape.backward(output, weights(output) if grad_output is None else grad_output)
        return output.detach(), [leaf.grad for leaf in leaves]

    return run


@pytest.fixture
def draw():
    """Return a function: shape → a leaf that requires grad, another one for each call, the same in each run."""
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape, dtype=torch.float32):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    return leaf


@pytest.fixture
def assert_close():
    """Return a function that holds a tensor to a reference of the same shape, within the table for its dtype."""

    def check(candidate, reference, quantity="gradient"):
        assert candidate.shape == reference.shape
        bound = tolerance(str(reference.dtype).removeprefix("torch."), quantity).bound(float(reference.abs().max()))
        difference = float((candidate - reference).abs().max())
        assert difference <= bound, f"differs by {difference}, {bound} is allowed"

    return check
