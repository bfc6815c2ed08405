"""The suites are what they say: cifar is held against the networks themselves."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from trainloop.bench.problem import Problem
from trainloop.bench.suites import SUITES
from trainloop.manual.conv import Geometry
from trainloop.models.resnet import resnet18, resnet20
from trainloop.models.speednet import speednet


def layers(model, batch):
    """Return the distinct 3×3 convolutions of a network for 32×32 images, biases left out."""
    found = []

    def note(module, arguments, _output):
        if module.kernel_size == (3, 3):
            geometry = Geometry(module.stride, module.padding, module.dilation, module.groups)
            found.append(Problem((batch, *arguments[0].shape[1:]), tuple(module.weight.shape), geometry))

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.device("meta"), torch.no_grad():
        model.to("meta").eval()(torch.empty(2, 3, 32, 32))
    return set(found)


def test_cifar_is_the_layers_of_four_networks():
    wanted = layers(resnet18(), 128) | layers(resnet20(), 128) | layers(torchvision.models.vgg11_bn(weights=None), 128)
    wanted |= layers(speednet(), 500)
    problems = [problem for problem, _ in SUITES["cifar"].problems()]
    assert len(problems) == len(set(problems)) == 23
    assert set(problems) == wanted


@pytest.mark.parametrize("name", SUITES)
def test_every_problem_of_a_suite_is_one_and_says_where_it_is_from(name):
    problems = SUITES[name].problems()
    assert SUITES[name].about
    assert all(problem.text() == text for (problem, _), (text, _) in zip(problems, SUITES[name].rows, strict=True))
    assert all(layer for _, layer in problems)
    assert all(problem.transposed == (name == "transpose") for problem, _ in problems)


def test_a_suite_can_be_taken_as_transposed():
    assert all(problem.transposed for problem, _ in SUITES["cifar"].problems(transpose=True))
