"""What training makes of the doctor's answers."""

from __future__ import annotations

import json

import pytest
import torch.nn.functional as F

from trainloop import training
from trainloop.config.schema import RunConfig
from trainloop.errors import DeviceError
from trainloop.training import train

TINY = RunConfig.model_validate(
    {"train": {"max_steps": 3, "batch_size": 8, "eval_batch_size": 250}, "optimizer": {"name": "adam"}, "threads": 1}
)


@pytest.fixture
def broken(monkeypatch):
    """Running variances come out a little too small."""
    real = F.batch_norm

    def batch_norm(x, mean, var, *args):
        output = real(x, mean, var, *args)
        var.data.mul_(0.9999)
        return output

    monkeypatch.setattr(F, "batch_norm", batch_norm)


@pytest.mark.usefixtures("broken")
def test_training_on_a_failing_device_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "build_training", lambda *_: pytest.fail("a model was built"))
    with pytest.raises(DeviceError, match="cpu computes wrongly: batch_norm in training, contiguous, running_var"):
        train(TINY, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("broken")
def test_told_otherwise_it_trains_says_so_and_writes_it_down(tmp_path):
    said = []
    summary = train(TINY, run_dir=tmp_path / "run", allow_failing_device=True, announce=said.append)
    assert summary.steps == 3
    assert said[0].startswith("cpu computes wrongly (")
    facts = json.loads((tmp_path / "run" / "env.json").read_text(encoding="utf-8"))
    assert facts["wrong_answers"][0].startswith("batch_norm in training, contiguous, running_var: ")


def test_the_questions_do_not_change_a_bit_of_a_run(tmp_path, monkeypatch):
    asked = train(TINY, run_dir=tmp_path / "asked")
    monkeypatch.setattr(training, "admit_device", lambda *_, **__: [])
    assert train(TINY, run_dir=tmp_path / "not asked").weights_sha256 == asked.weights_sha256
