"""Each known deviation of forward and backward, made in a candidate, is named as the cause."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainloop.compare import compare
from trainloop.compare.catalogue.calls import Deviating, right_backward, right_forward
from trainloop.compare.catalogue.convolution import CONVOLUTION
from trainloop.compare.catalogue.forward import FORWARD
from trainloop.compare.catalogue.gradient import GRADIENT
from trainloop.compare.wording import NO_CAUSE

ALIKE = {
    "cross entropy's gradient summed instead of averaged": "gradient summed instead of averaged",
}
"""what no gradient of a parameter can tell apart"""


def mode_of(deviation):
    """The mode that the deviation was made with, out of its closure."""
    way = deviation.predict[0]
    cells = dict(zip(way.__code__.co_freevars, (cell.cell_contents for cell in way.__closure__ or ()), strict=True))
    return (cells["kind"], cells["forward"], cells["backward"]) if "kind" in cells else None


OPERATIONS = [deviation for deviation in (*FORWARD, *GRADIENT, *CONVOLUTION) if mode_of(deviation) is not None]


def candidate_with(step, mode):
    """The step with some operations deviating."""
    right = step.implementation("candidate")

    def build(model, exact):
        stages, optimizers = right.build(model, exact)

        def forward(x):
            with mode:
                return stages.forward(x)

        def loss(logits, labels, share):
            with mode:
                return stages.loss(logits, labels, share)

        return dataclasses.replace(stages, forward=forward, loss=loss), optimizers

    return dataclasses.replace(right, build=build)


@pytest.mark.parametrize("deviation", OPERATIONS, ids=lambda deviation: deviation.name)
def test_a_deviation_is_named(deviation, step, batches):
    found = compare(step, candidate_with(step, Deviating(*mode_of(deviation))), batches, cases=deviation.name in CASES)
    assert found.verdict == "different", found.reason
    assert found.first.stage == deviation.stage
    assert found.cause.name == ALIKE.get(deviation.name, deviation.name)
    assert found.cause.residual < 1e-6
    assert all(other in ALIKE for other in found.cause.also)


CASES = (
    "missing ReLU mask at 0",
    "max pool gives its gradient to every maximum",
    "batch-norm eps outside the square root",
)
"""what only a blank or a constant batch shows"""


def test_an_unknown_deviation_is_called_none(step, batches):
    def odd(call, output, grad_output):
        grads = right_backward(call, output, grad_output)
        return {**grads, "weight": grads["weight"] * (1 + grads["weight"].sign() * 0.3)}

    found = compare(step, candidate_with(step, Deviating("conv", right_forward, odd)), batches, cases=False)
    assert found.cause.name == NO_CAUSE
    assert found.cause.runner_up
    assert found.cause.residual > 0.05


def test_a_deviation_in_one_module_of_several_is_named_as_such(step, batches):
    class Mode(Deviating):
        """Deviates in the first call alone."""

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen = getattr(self, "seen", 0) + (func is torch.nn.functional.relu)
            if func is torch.nn.functional.relu and self.seen % 2:
                return torch.nn.functional.leaky_relu(args[0], 0.01)
            return func(*args, **(kwargs or {}))

    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10), torch.nn.ReLU()
    )
    own = dataclasses.replace(step, model=model)
    found = compare(own, candidate_with(own, Mode("relu")), batches, cases=False)
    assert found.cause.name == "leaky relu instead of relu"
    assert found.cause.partial
