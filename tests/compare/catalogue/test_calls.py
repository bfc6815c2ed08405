from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.compare.catalogue.calls import Deviating, Listening, as_call


@pytest.mark.parametrize("kind", ["conv", "batch_norm", "relu", "dropout", "average", "max_pool", "linear", "gelu"])
def test_without_a_mistake_forward_and_gradients_have_the_library_s_bits(kind, step, batches):
    def gradients(mode):
        torch.manual_seed(3)
        model = step.implementation("reference").side(step.model, dtype=torch.float64).model
        x, labels = batches[0]
        with mode:
            loss = F.cross_entropy(model(x.double()), labels)
        loss.backward()
        return [loss.detach(), *(param.grad for param in model.parameters()), *model.buffers()]

    right, again = gradients(Listening()), gradients(Deviating(kind))
    for one, two in zip(right, again, strict=True):
        assert torch.allclose(one.double(), two.double(), rtol=1e-12, atol=1e-15)


def test_the_operations_of_a_model_are_noticed_by_kind(step, batches):
    with Listening() as listening:
        step.implementation("reference").side(step.model).model(batches[0][0])
    assert listening.kinds == {"conv", "batch_norm", "relu", "dropout", "average", "max_pool", "linear", "gelu"}


def test_a_call_names_its_arguments_however_they_came():
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
    by_place = as_call(F.conv2d, (x, weight, None, 1, 1), {})
    by_name = as_call(F.conv2d, (x,), {"weight": weight, "padding": 1})
    assert by_place["padding"] == by_name["padding"] == 1
    assert torch.equal(by_place.run(), by_name.run())


def test_a_relu_in_place_gets_a_gradient_too():
    layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    with Deviating("relu", backward=lambda call, _output, grad: {"input": 2 * grad * (call.input > 0)}):
        out = layer(torch.randn(3, 2)).sum()
    out.backward()
    assert layer[0].weight.grad is not None
