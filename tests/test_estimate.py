"""What a run will cost, held against what it did cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.estimate import count_state_bytes
from trainloop.manual.optim import OPTIMIZERS
from trainloop.stages.context import StageContext
from trainloop.stages.step import STEP


def model_with_gradients():
    model = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False))
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    model[0].bias.requires_grad_(False)
    return model


def state_bytes(optimizers):
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    return sum(value.nbytes for state in states for value in state.values() if value is not None)


@pytest.mark.parametrize("mode", ["builtin", "manual"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_bytes_of_the_state_are_those_after_a_step(name, mode):
    config = RunConfig.model_validate({"optimizer": {"name": name}})
    model = model_with_gradients()
    expected = count_state_bytes(model, config)
    context = StageContext(model, config, torch.device("cpu"))
    STEP[mode](context)(0.1)
    assert state_bytes(context.optimizers) == expected > 0


def test_sgd_without_momentum_remembers_nothing():
    config = RunConfig.model_validate({"optimizer": {"name": "sgd", "momentum": 0.0}})
    assert count_state_bytes(model_with_gradients(), config) == 0
