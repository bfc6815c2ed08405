"""The moving average written out against the loop's, which updates all weights in place at once: the same bits."""

from __future__ import annotations

import pytest
import torch

from trainloop.loop.ema import WeightAverage
from trainloop.manual.ema import moving_average
from trainloop.stages import AVERAGE

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def make_model(dtype):
    torch.manual_seed(4)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(5, 7)).to(dtype)


def move(model, step):
    generator = torch.Generator().manual_seed(step)
    for param in model.parameters():
        param.data = torch.randn(param.shape, generator=generator, dtype=param.dtype)


def bits(tensors):
    return [tensor.detach().contiguous().view(BITS[tensor.dtype]).tolist() for tensor in tensors]


@pytest.mark.parametrize("decay", [0.999, 0.9, 0.5, 0.3, 0.01])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_same_bits_as_the_loops_average(dtype, decay):
    model = make_model(dtype)
    average = WeightAverage(model, decay, AVERAGE["builtin"])
    means = [param.detach().clone() for param in model.parameters()]
    for step in range(20):
        move(model, step)
        average.update()
        means = moving_average(means, list(model.parameters()), decay)
    with average.in_place_of_weights():
        assert bits(means) == bits(model.parameters())


def test_a_mean_written_with_plus_and_times_has_other_bits():
    generator = torch.Generator().manual_seed(1)
    mean, param = (torch.randn(10_007, generator=generator) for _ in range(2))
    assert bits([mean + (1 - 0.9) * (param - mean)]) != bits(moving_average([mean], [param], 0.9))


@pytest.mark.parametrize(("decay", "expected"), [(0.0, 3.0), (1.0, 1.0), (0.5, 2.0)])
def test_the_mean_moves_by_what_the_decay_leaves(decay, expected):
    assert moving_average([torch.tensor(1.0)], [torch.tensor(3.0)], decay)[0].item() == expected


def test_nothing_is_changed_in_place_and_nothing_requires_grad():
    mean, param = torch.ones(3), torch.nn.Parameter(torch.zeros(3))
    (new,) = moving_average([mean], [param], 0.9)
    assert mean.tolist() == [1.0, 1.0, 1.0]
    assert not new.requires_grad


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\], found {decay}"):
        moving_average([torch.ones(1)], [torch.ones(1)], decay)


def test_means_and_parameters_must_be_as_many():
    with pytest.raises(ValueError, match="found 1 means for 2 parameters"):
        moving_average([torch.ones(1)], [torch.ones(1), torch.ones(1)], 0.9)
