"""A checkpoint judged again gives the bits that its run had, and only what verifies is judged."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.config.schema import RunConfig
from trainloop.errors import CheckpointError, ConfigError, UsageError
from trainloop.loop.events import EpochDone, TestDone
from trainloop.saved_checkpoint import evaluate_checkpoint, find_checkpoint, put_weights
from trainloop.saved_run import evaluate_run, read_run
from trainloop.training import train

CONFIG = {
    "model": {"name": "small_cnn", "args": {"width": 4}},
    "train": {"epochs": 3, "batch_size": 375, "channels_last": True},
    "data": {"val_size": 500},
    "threads": 1,
    "checkpoint": {"every": "1 epoch", "keep": 3, "best": "val_loss"},
}


class Heard:
    def __init__(self):
        self.epochs, self.test = {}, None

    def handle(self, event):
        if isinstance(event, EpochDone):
            self.epochs[event.step] = (event.val_loss, event.val_accuracy)
        elif isinstance(event, TestDone):
            self.test = (event.test_loss, event.test_accuracy)

    def close(self):
        pass


CELLS = {"builtin": {}, "manual, averaged": {"mode": "manual", "train": {**CONFIG["train"], "ema_decay": 0.8}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function: cell → the folder of its run, and what the run itself told."""
    runs = {}

    def get(cell):
        if cell not in runs:
            folder, heard = tmp_path_factory.mktemp("run") / "run", Heard()
            train(RunConfig.model_validate_json(json.dumps({**CONFIG, **CELLS[cell]})), run_dir=folder, sinks=[heard])
            runs[cell] = (folder, heard)
        return runs[cell]

    return get


@pytest.fixture(params=CELLS)
def run(request, made):
    return made(request.param)


def judged(folder, which, split):
    result, _ = evaluate_checkpoint(find_checkpoint(folder, which), lambda _: None, split=split)
    return result.loss, result.accuracy


def test_every_epoch_again_bit_for_bit(run):
    folder, heard = run
    assert len(heard.epochs) == 3
    for step, values in heard.epochs.items():
        assert judged(folder, f"step-{step:08d}-end", "val") == values


def test_the_end_again_bit_for_bit(run):
    folder, heard = run
    assert judged(folder, "last", "test") == heard.test
    saved = read_run(folder)
    result = evaluate_run(saved, lambda _: None)
    assert (result.loss, result.accuracy) == heard.test
    val = evaluate_run(saved, lambda _: None, split="val")
    assert (val.loss, val.accuracy) == heard.epochs[12]


def test_the_best_epoch(run):
    folder, heard = run
    step = min(heard.epochs, key=lambda step: heard.epochs[step][0])
    assert find_checkpoint(folder, "best").step == step
    assert judged(folder, "best", "val") == heard.epochs[step]


def test_without_the_mean_the_bits_are_others(made, monkeypatch):
    """The negative control: the weights themselves are not what an averaged run is judged by."""
    folder, heard = made("manual, averaged")
    assert find_checkpoint(folder, "last").is_averaged
    real = put_weights

    def plain(model, tensors):
        real(model, {name: tensor for name, tensor in tensors.items() if not name.startswith("average/")})

    monkeypatch.setattr("trainloop.saved_checkpoint.put_weights", plain)
    assert judged(folder, "last", "test") != heard.test


@pytest.fixture
def copied(made, tmp_path):
    folder, _ = made("manual, averaged")
    return shutil.copytree(folder, tmp_path / "run")


def test_a_damaged_checkpoint_is_refused_and_last_passes_over_it(copied):
    newest = copied / "checkpoints" / "step-00000012-end" / "tensors.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256") as caught:
        find_checkpoint(copied, "step-00000012-end")
    assert caught.value.exit_code == 4
    assert find_checkpoint(copied, "last").step == 8
    for path in (copied / "checkpoints").iterdir():
        (path / "MANIFEST.json").write_text("{}")
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        find_checkpoint(copied, "last")


def test_a_path_alone_is_enough(copied, tmp_path):
    moved = shutil.move(copied / "checkpoints" / "step-00000008-end", tmp_path / "step-00000008-end")
    assert find_checkpoint(None, str(moved)).step == 8
    with pytest.raises(UsageError, match="this checkpoint is not of this run"):
        find_checkpoint(copied, str(moved))
    assert find_checkpoint(copied, str(copied / "checkpoints" / "step-00000004-end")).step == 4


@pytest.mark.parametrize("which", ["step-9", "nothing", "last/../x"])
def test_what_is_not_there_is_refused_with_what_is(copied, which):
    with pytest.raises(UsageError, match="there is no such checkpoint") as caught:
        find_checkpoint(copied, which)
    assert "last, best, or one of step-00000012-end, step-00000008-end" in caught.value.faults[0].expected


def test_a_run_without_checkpoints_and_one_without_a_best(copied):
    path = copied / "checkpoints" / "step-00000012-end"
    for other in ("step-00000004-end", "step-00000008-end"):
        shutil.rmtree(copied / "checkpoints" / other)
    rewrite(path, lambda state: {**state, "best": None})
    with pytest.raises(UsageError, match="this run keeps no best epoch"):
        find_checkpoint(copied, "best")
    rewrite(path, lambda state: {**state, "best": {"folder": "../../x", "value": 1}})
    with pytest.raises(CheckpointError, match="the name of the best checkpoint is none"):
        find_checkpoint(copied, "best")
    shutil.rmtree(path)
    with pytest.raises(UsageError, match="this run has no checkpoint"):
        find_checkpoint(copied, "last")


def rewrite(path, change):
    """Change ``state.json``, and the manifest so that it verifies."""
    import hashlib

    content = json.dumps(change(json.loads((path / "state.json").read_text()))).encode()
    (path / "state.json").write_bytes(content)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    manifest["files"]["state.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "MANIFEST.json").write_text(json.dumps(manifest))


def test_a_config_of_another_version_and_another_model_are_refused(copied):
    path = copied / "checkpoints" / "step-00000012-end"
    rewrite(path, lambda state: {**state, "config": {**state["config"], "model": {"name": "small_cnn"}}})
    with pytest.raises(CheckpointError, match="this checkpoint is not of the model"):
        judged(copied, "last", "test")
    rewrite(path, lambda state: {**state, "config": {**state["config"], "new": 1}})
    with pytest.raises(CheckpointError, match="not one of this version"):
        find_checkpoint(copied, "last")


def test_the_device_can_be_another_and_must_be_one(copied):
    assert find_checkpoint(copied, "last", "cpu").config.device == "cpu"
    with pytest.raises(ConfigError, match="device"):
        find_checkpoint(copied, "last", "gpu9")


def test_the_weights_that_the_run_began_from_are_not_needed(copied):
    path = copied / "checkpoints" / "step-00000012-end"
    config = {**json.loads((path / "state.json").read_text())["config"]}
    config["model"] = {**config["model"], "weights": "gone.safetensors"}
    rewrite(path, lambda state: {**state, "config": config})
    assert 0 <= judged(copied, "last", "test")[1] <= 1


def command(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)], catch_exceptions=False)


def test_the_command_says_which_checkpoint_and_that_it_is_the_same(made):
    folder, heard = made("builtin")
    done = command(folder, "--checkpoint", "last")
    *_, place, accuracy, same = done.output.splitlines()
    assert place.startswith(f"checkpoint {folder}/checkpoints/step-00000012-end, verified: step 12, after epoch 3")
    assert accuracy == f"test accuracy {100 * heard.test[1]:.2f} % of 500, loss {heard.test[0]:.4f}"
    assert same == "the same as at the end of the run"
    done = command("--checkpoint", folder / "checkpoints" / "step-00000004-end", "--split", "val")
    assert done.output.splitlines()[-1] == "the same as after epoch 1"
    facts = json.loads(command(folder, "--checkpoint", "step-00000008-end", "--json").output)
    assert (facts["step"], facts["run_test_accuracy"]) == (8, None)


def test_the_command_refuses_nothing_and_a_split_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="there is nothing to evaluate"):
        command()
    with pytest.raises(UsageError, match="there is no such checkpoint"):
        command("--checkpoint", "last")
    torch.manual_seed(0)
    config = json.loads(json.dumps({**CONFIG, "data": {}, "checkpoint": {}}))
    config["train"] = {**config["train"], "max_steps": 1}
    train(RunConfig.model_validate_json(json.dumps(config)), run_dir=tmp_path / "r")
    for words in ((tmp_path / "r",), (tmp_path / "r", "--checkpoint", "last")):
        with pytest.raises(UsageError, match="this run set no validation images aside"):
            command(*words, "--split", "val")
