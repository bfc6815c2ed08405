"""What the tests of explain-step share: the built-in example, explained."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trainloop.config import load_config
from trainloop.data.pipeline import Batch
from trainloop.explain.run import built_in_run, side_maker
from trainloop.explain.step import explain_step
from trainloop.tolerance import tolerance


def configs(*overrides):
    """The same config with every stage manual, and with every stage built-in."""
    return [load_config(None, [*overrides, f"mode={mode}"]).config for mode in ("manual", "builtin")]


def tiny_run(*overrides):
    return built_in_run(*configs(*overrides))


@functools.lru_cache(maxsize=64)
def explained(*overrides, **choice):
    """An explanation of the built-in example; frozen, so it can be shared."""
    return explain_step(tiny_run(*overrides), **choice)


class Net(nn.Module):
    """Batch norm and dropout, whose states both paths must share."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))


def net_run(*overrides, parts=1, clips=False, total_steps=None):
    """A run of Net on two batches, with the real loss."""
    torch.manual_seed(1)
    model = Net()
    x, y = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    batches = [Batch(x[:4], y[:4], torch.arange(4)), Batch(x[4:], y[4:], torch.arange(4, 8))]
    manual, builtin = configs(*overrides)
    sides = {"manual": side_maker(manual, torch.device("cpu")), "builtin": side_maker(builtin, torch.device("cpu"))}
    return dataclasses.replace(
        tiny_run(*overrides),
        built_in=False,
        model=model,
        epoch_batches=lambda _epoch: iter(batches),
        parts=parts,
        clips=clips,
        total_steps=total_steps,
        **sides,
    )


def close(value):
    """Equal but for the roundings of float32."""
    return pytest.approx(value, rel=tolerance("float32", "output").rtol)


@pytest.fixture(scope="session")
def tiny():
    return SimpleNamespace(configs=configs, run=tiny_run, explained=explained, net_run=net_run, close=close)
