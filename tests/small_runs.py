"""Small runs and a small checkpoint, for all tests of what a run survives."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal

import pytest
import torch

from trainloop.checkpoint.keeper import CheckpointKeeper
from trainloop.checkpoint.layout import Facts, Machine, Position, Saved
from trainloop.config.schema import RunConfig
from trainloop.loop.progress import Progress

TINY = {
    "model": {"name": "small_cnn", "args": {"width": 4}},
    "train": {"epochs": 2, "max_steps": 12, "batch_size": 250, "eval_batch_size": 500},
    "data": {"val_size": 500},
    "threads": 1,
    "checkpoint": {"every": "never"},
}
"""two epochs of six steps, each closed by an evaluation"""
MACHINE = Machine(trainloop="0", torch="2", device="cpu", device_name="a cpu", cpu_capability="AVX2", threads=1)


def tiny_config(**changes):
    """Return a config of twelve steps with changes by section."""
    merged = json.loads(json.dumps(TINY))
    for name, value in changes.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return RunConfig.model_validate_json(json.dumps(merged))


@contextlib.contextmanager
def stop_after(step):
    """Send this process SIGTERM after a step, as its boundary sees it."""
    with pytest.MonkeyPatch.context() as patch:
        due = CheckpointKeeper.due

        def stopping(keeper, now, seconds):
            due(keeper, now, seconds)
            if now == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return due(keeper, now, seconds)

        patch.setattr(CheckpointKeeper, "due", stopping)
        yield


def saved_at(step, *, epoch_closed=False, best=None, metrics_bytes=0, past=0, **tensors):
    """Return a small checkpoint that stands at a step.

    Args:
        step: of it.
        epoch_closed, best, metrics_bytes: as in a run.
        past: another run has other weights.
        tensors: besides its own, or instead of them, by name.
    """
    generator = torch.Generator().manual_seed(1_000 * past + step)
    weight = torch.randn(4, 3, 2, 2, generator=generator).to(memory_format=torch.channels_last)
    content = {
        "model/weight": weight,
        "model/count": torch.tensor(step),
        "optimizer/weight/momentum_buffer": torch.randn(4, 3, 2, 2, generator=generator),
        "random/torch": torch.arange(8),
        **tensors,
    }
    facts = Facts(
        schema_version=1,
        position=Position(**dataclasses.asdict(Progress(step=step, epoch=1, epoch_closed=epoch_closed))),
        config={"train": {"compile": False}, "seed": past},
        machine=MACHINE,
        data_digest="0" * 64,
        plugins={},
        metrics_bytes=metrics_bytes,
        strides={},
        optimizer_numbers={},
        scaler=None,
        random={},
        best=best,
        convolutions={},
        resumed=[],
    )
    return Saved(content, facts)
