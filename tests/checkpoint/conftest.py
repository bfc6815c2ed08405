"""A small checkpoint, and small runs."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from trainloop.checkpoint.layout import Facts, Machine, Position, Saved
from trainloop.config.schema import RunConfig
from trainloop.loop.progress import Progress

MACHINE = Machine(trainloop="0", torch="2", device="cpu", device_name="a cpu", cpu_capability="AVX2", threads=1)


@pytest.fixture(scope="session")
def saved_at():
    """Return a function: step → a checkpoint of three tensors that stands there."""

    def make(step, *, epoch_closed=False, best=None, **tensors):
        generator = torch.Generator().manual_seed(step)
        weight = torch.randn(4, 3, 2, 2, generator=generator).to(memory_format=torch.channels_last)
        content = {
            "model/weight": weight,
            "model/count": torch.tensor(step),
            "random/torch": torch.arange(8),
            **tensors,
        }
        position = Position(**dataclasses.asdict(Progress(step=step, epoch=1, epoch_closed=epoch_closed)))
        facts = Facts(
            schema_version=1,
            position=position,
            config={"train": {"compile": False}},
            machine=MACHINE,
            data_digest="0" * 64,
            plugins={},
            metrics_bytes=0,
            strides={},
            optimizer_numbers={},
            scaler=None,
            random={},
            best=best,
            convolutions={},
            resumed=[],
        )
        return Saved(content, facts)

    return make


TINY = {
    "model": {"name": "small_cnn", "args": {"width": 4}},
    "train": {"epochs": 2, "max_steps": 12, "batch_size": 250, "eval_batch_size": 500},
    "data": {"val_size": 500},
    "threads": 1,
    "checkpoint": {"every": "never"},
}
"""two epochs of six steps, each closed by an evaluation"""


@pytest.fixture(scope="session")
def tiny_config():
    """Return a function: changes by section → a config of twelve steps."""

    def make(**changes):
        merged = json.loads(json.dumps(TINY))
        for name, value in changes.items():
            merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
        return RunConfig.model_validate_json(json.dumps(merged))

    return make
