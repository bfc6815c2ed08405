"""Two small runs, one that ended and one that was stopped, and copies of them to spoil."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from trainloop.checkpoint.keeper import CheckpointKeeper
from trainloop.config.schema import RunConfig
from trainloop.errors import InterruptedRunError
from trainloop.training import train

TINY = {
    "model": {"name": "small_cnn", "args": {"width": 4}},
    "train": {"epochs": 2, "max_steps": 12, "batch_size": 250, "eval_batch_size": 500, "ema_decay": 0.9},
    "data": {"val_size": 500},
    "threads": 1,
    "checkpoint": {"every": "never", "best": "val_accuracy"},
}
"""two epochs of six steps, each closed by an evaluation of the running mean"""


def tiny_config(**changes):
    merged = json.loads(json.dumps(TINY))
    for name, value in changes.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return RunConfig.model_validate_json(json.dumps(merged))


def stop_after(step, folder, config):
    """Train up to a step, as a run that SIGTERM ends there."""
    with pytest.MonkeyPatch.context() as patch:
        due = CheckpointKeeper.due

        def stopping(keeper, now, seconds):
            due(keeper, now, seconds)
            if now == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return due(keeper, now, seconds)

        patch.setattr(CheckpointKeeper, "due", stopping)
        with pytest.raises(InterruptedRunError):
            train(config, run_dir=folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folders of the two runs; nobody changes them."""
    folder = tmp_path_factory.mktemp("made")
    train(tiny_config(), run_dir=folder / "finished")
    stop_after(8, folder / "stopped", tiny_config())
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """Return a folder ``runs`` of the working folder with copies of both runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"
