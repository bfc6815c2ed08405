"""Runs that meet a NaN or an infinity: in every stage, builtin and manual, stopped or passed over."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from trainloop import build, training
from trainloop.checkpoint.folder import read_checkpoint
from trainloop.checkpoint.store import CheckpointStore
from trainloop.config.schema import RunConfig
from trainloop.errors import NonFiniteError
from trainloop.loop.finite import MAX_SKIPPED_IN_A_ROW
from trainloop.stages.context import Substitutes
from trainloop.training import train

NAN = float("nan")
STEPS, BAD = 6, 4
"""steps of a run, and the one that meets a NaN"""


def config_of(**changes):
    base = {
        "threads": 1,
        "train": {"max_steps": STEPS, "batch_size": 8, "eval_batch_size": 500},
        "checkpoint": {"every": 1, "keep": 9},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    }
    return RunConfig.model_validate({**base, **changes, "train": {**base["train"], **changes.get("train", {})}})


class Breaker:
    """Break one stage of some steps of a run that is built while this is in place."""

    def __init__(self, monkeypatch, stage, steps=(BAD,)):
        self.stage, self.steps, self.number = stage, steps, 0
        self.batches = []
        build_training = training.build_training
        monkeypatch.setattr(training, "build_training", lambda *args: self.broken(*build_training(*args)))
        if stage == "loss":
            monkeypatch.setattr(build, "own_parts", lambda *_: Substitutes(loss=self.loss))

    @property
    def is_bad(self):
        return self.number in self.steps

    def broken(self, built, dataset):
        def epoch_batches(epoch, first_batch=0):
            for batch in built.epoch_batches(epoch, first_batch):
                self.number += 1
                self.batches.append(batch)
                if self.stage == "data" and self.is_bad:
                    batch.x[2, 0, 5, 5] = NAN
                yield batch

        self.model = built.model
        stages = {name: getattr(self, name)(getattr(built.stages, name)) for name in ("backward", "step")}
        next(iter(built.model.modules())).register_forward_hook(self.after_forward)
        return dataclasses.replace(
            built, stages=dataclasses.replace(built.stages, **stages), epoch_batches=epoch_batches
        ), dataset

    def after_forward(self, module, _inputs, output):
        if self.stage == "forward" and self.is_bad and module.training:
            return output * torch.where(torch.arange(8) == 3, NAN, 1.0)[:, None]
        return output

    def loss(self, logits, labels):
        mean = F.cross_entropy(logits, labels)
        return mean * NAN if self.is_bad else mean

    def backward(self, original):
        def backward(loss):
            original(loss)
            if self.stage == "backward" and self.is_bad:
                next(self.model.parameters()).grad[0, 0, 0, 0] = NAN

        return backward

    def step(self, original):
        def step(lr):
            original(lr)
            if self.stage == "step" and self.number + 1 in self.steps:
                next(self.model.parameters()).data[0, 0, 0, 0] = NAN

        return step


def nonfinite_lines(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "nonfinite"]


@pytest.mark.parametrize("mode", ["builtin", "manual"])
@pytest.mark.parametrize("stage", ["data", "forward", "loss", "backward"])
def test_a_run_stops_before_the_update_and_says_where(stage, mode, tmp_path, monkeypatch):
    breaker = Breaker(monkeypatch, stage)
    with pytest.raises(NonFiniteError, match=f"step {BAD}, epoch 1, stage {stage}: ") as caught:
        train(config_of(mode=mode), run_dir=tmp_path / "r")
    assert caught.value.exit_code == 5
    (line,) = nonfinite_lines(tmp_path / "r")
    assert (line["step"], line["stage"], line["skipped"]) == (BAD, stage, False)
    rows = {"data": [2], "forward": [3]}.get(stage, list(range(8)))
    assert line["images"] == breaker.batches[BAD - 1].indices[rows].tolist()
    assert line["tensor"] in str(caught.value)
    # Every step before it was saved, nothing of it was.
    newest = CheckpointStore(tmp_path / "r").newest().saved
    assert newest.facts.position.step == BAD - 1
    for name, param in breaker.model.named_parameters():
        assert torch.equal(newest.tensors[f"model/{name}"], param)


@pytest.mark.parametrize("mode", ["builtin", "manual"])
@pytest.mark.parametrize("on_nonfinite", ["stop", "skip"])
def test_a_weight_that_an_update_breaks_is_never_saved_and_ends_the_run(mode, on_nonfinite, tmp_path, monkeypatch):
    Breaker(monkeypatch, "step")
    with pytest.raises(NonFiniteError, match=rf"step {BAD - 1}, epoch 1, stage step: .*\n  found: model/"):
        train(config_of(mode=mode, train={"on_nonfinite": on_nonfinite}), run_dir=tmp_path / "r")
    assert CheckpointStore(tmp_path / "r").newest().saved.facts.position.step == BAD - 2


def test_without_a_checkpoint_in_between_the_next_step_finds_such_a_weight(tmp_path, monkeypatch):
    Breaker(monkeypatch, "step")
    config = config_of(train={"on_nonfinite": "skip"}, checkpoint={"every": "never"})
    with pytest.raises(NonFiniteError, match=rf"step {BAD}, epoch 1, stage step: .*\n  found: parameter "):
        train(config, run_dir=tmp_path / "r")


@pytest.mark.parametrize("mode", ["builtin", "manual"])
@pytest.mark.parametrize("stage", ["data", "forward", "loss", "backward"])
def test_a_skipped_step_leaves_weights_buffers_and_optimizer_as_they_were(stage, mode, tmp_path, monkeypatch):
    Breaker(monkeypatch, stage)
    config = config_of(mode=mode, train={"on_nonfinite": "skip", "ema_decay": 0.9})
    summary = train(config, run_dir=tmp_path / "r")
    assert (summary.steps, summary.skipped_steps) == (STEPS, 1)
    assert nonfinite_lines(tmp_path / "r")[0]["skipped"]
    before, after = (read_checkpoint(tmp_path / "r" / "checkpoints" / f"step-{step:08d}") for step in (BAD - 1, BAD))
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in before.tensors.items())
    assert after.facts.optimizer_numbers == before.facts.optimizer_numbers


def test_both_modes_skip_to_the_same_bits(tmp_path, monkeypatch):
    digests = set()
    for mode in ("builtin", "manual"):
        with monkeypatch.context() as patch:
            Breaker(patch, "backward")
            digests.add(
                train(config_of(mode=mode, train={"on_nonfinite": "skip"}), run_dir=tmp_path / mode).weights_sha256
            )
    assert len(digests) == 1


def test_a_run_that_skips_and_skips_ends(tmp_path, monkeypatch):
    Breaker(monkeypatch, "loss", steps=range(BAD, 99))
    config = config_of(train={"on_nonfinite": "skip", "max_steps": 60})
    with pytest.raises(NonFiniteError, match=f"{MAX_SKIPPED_IN_A_ROW} steps in a row"):
        train(config, run_dir=tmp_path / "r")
    assert [line["skipped"] for line in nonfinite_lines(tmp_path / "r")] == [True] * 19 + [False]


def test_an_epoch_without_any_update_ends_the_run(tmp_path, monkeypatch):
    Breaker(monkeypatch, "loss", steps=range(99))
    with pytest.raises(NonFiniteError, match="every step of an epoch"):
        train(config_of(train={"on_nonfinite": "skip"}), run_dir=tmp_path / "r")


def test_without_the_check_the_nan_reaches_the_weights(tmp_path, monkeypatch):
    """The control: what these tests find would happen."""
    monkeypatch.setattr("trainloop.loop.finite.FiniteCheck.__call__", lambda *_: True)
    breaker = Breaker(monkeypatch, "backward")
    # The loss of the epoch is the first number that something else refuses.
    with pytest.raises(ValueError, match="not JSON compliant"):
        train(config_of(checkpoint={"every": "never"}), run_dir=tmp_path / "r")
    assert not all(torch.isfinite(param).all() for param in breaker.model.parameters())
