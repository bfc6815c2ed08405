"""The running mean of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.loop.ema import WeightAverage
from trainloop.stages import AVERAGE


def model_with(value):
    model = nn.Linear(2, 1, bias=False)
    set_weights(model, value)
    return model


def set_weights(model, value):
    model.weight.data = torch.full_like(model.weight, value)


@pytest.mark.parametrize("mode", AVERAGE)
def test_the_average_follows_the_weights(mode):
    model = model_with(1.0)
    average = WeightAverage(model, 0.75, AVERAGE[mode])
    set_weights(model, 5.0)
    average.update()
    with average.in_place_of_weights():
        assert model.weight.tolist() == [[2.0, 2.0]]
    assert model.weight.tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("mode", AVERAGE)
def test_the_weights_come_back_after_an_error(mode):
    model = model_with(1.0)
    average = WeightAverage(model, 0.5, AVERAGE[mode])
    set_weights(model, 3.0)
    with pytest.raises(RuntimeError, match="inside"), average.in_place_of_weights():
        raise RuntimeError("inside")
    assert model.weight.tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize("mode", AVERAGE)
def test_the_average_can_stay_for_good(mode):
    model = model_with(1.0)
    average = WeightAverage(model, 0.5, AVERAGE[mode])
    set_weights(model, 3.0)
    average.update()
    average.replace_weights()
    assert model.weight.tolist() == [[2.0, 2.0]]
