"""Two small runs, one that ended and one that was stopped, and copies of them to spoil."""

from __future__ import annotations

import shutil

import pytest
from tests.small_runs import stop_after, tiny_config

from trainloop.errors import InterruptedRunError
from trainloop.training import train

CHANGES = {"train": {"ema_decay": 0.9}, "checkpoint": {"best": "val_accuracy"}}
"""to the small run, so that each of its epochs is closed by an evaluation of the running mean"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folders of the two runs; nobody changes them."""
    folder = tmp_path_factory.mktemp("made")
    train(tiny_config(**CHANGES), run_dir=folder / "finished")
    with stop_after(8), pytest.raises(InterruptedRunError):
        train(tiny_config(**CHANGES), run_dir=folder / "stopped")
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """Return a folder ``runs`` of the working folder with copies of both runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"
