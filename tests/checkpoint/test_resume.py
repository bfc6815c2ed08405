"""A run that is stopped and taken up again ends with the bits of one that was not, wherever it is stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal

import numpy as np
import pytest
import torch
from tests.small_runs import stop_after

from trainloop import training as training_module
from trainloop.checkpoint import capture as capture_module
from trainloop.checkpoint.folder import TENSORS
from trainloop.checkpoint.store import CheckpointStore
from trainloop.errors import CheckpointError, InterruptedRunError, UsageError
from trainloop.files import operations
from trainloop.loop.finite import FiniteCheck, NotFinite
from trainloop.training import train

TIMES = ("seconds", "images_per_second")
STEPS, EPOCH = 12, 6
LONG_STEPS = 24
"""of the long form, which stops at every one of them"""


def measured(folder):
    """Return the lines of the metrics without the time fields."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def final_state(folder):
    """Return every bit of the last checkpoint, and the facts that are no times."""
    saved = CheckpointStore(folder).newest().saved
    assert saved.facts.position.epoch_closed
    bits = {name: tensor.contiguous().reshape(-1).view(torch.uint8).tolist() for name, tensor in saved.tensors.items()}
    facts = saved.facts.model_dump(exclude={"metrics_bytes", "resumed", "config", "plugins"})
    for name in ("seconds", "train_seconds", "epoch_seconds"):
        del facts["position"][name]
    return bits, facts


def stopped(config, folder, step, **options):
    with stop_after(step), pytest.raises(InterruptedRunError) as caught:
        train(config, run_dir=folder, **options)
    assert caught.value.exit_code == 143
    assert f"interrupted by SIGTERM after step {step}, saved" in str(caught.value)


def assert_same_end(one, other):
    assert measured(one) == measured(other)
    assert final_state(one) == final_state(other)


CELLS = {
    "sgd": {},
    "manual": {"mode": "manual"},
    "adamw, ema, two parts, one cycle": {
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"ema_decay": 0.9, "accumulation_steps": 2, "clip_grad_norm": 1.0},
    },
    "manual adamw, ema": {
        "mode": "manual",
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "multistep", "milestones": [1]},
        "train": {"ema_decay": 0.9},
    },
    "dropout, channels last": {
        "model": {"name": "torchvision.squeezenet1_1", "args": {}},
        "train": {"channels_last": True},
    },
    "compiled step, triangle": {
        "mode": "manual",
        "stages": {"step": "compiled"},
        "schedule": {"name": "triangle"},
    },
    "winograd, constant": {"mode": "manual", "stages": {"conv": "auto"}, "schedule": {"name": "constant"}},
}


QUICK = [
    *(("sgd", step) for step in (4, EPOCH)),
    *(("adamw, ema, two parts, one cycle", step) for step in (4, EPOCH)),
    ("manual adamw, ema", 4),
    ("compiled step, triangle", EPOCH),
    ("dropout, channels last", 4),
]
"""where every run of the tests stops a run; the long form stops all of them at every step"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_config):
    """Return a function: cell → its config and the folder of a run without a break."""
    made = {}

    def get(cell, steps=STEPS):
        if (cell, steps) not in made:
            changes = dict(CELLS[cell])
            if steps == LONG_STEPS:
                changes["train"] = {"batch_size": 125, "max_steps": steps, **changes.get("train", {})}
            if cell.startswith("dropout"):
                changes["data"] = {"val_size": 1900, "image_size": 40}
                changes["train"] = {**changes["train"], "batch_size": 200 // steps, "epochs": 3}
            config = tiny_config(**changes)
            folder = tmp_path_factory.mktemp("whole") / "run"
            train(config, run_dir=folder)
            made[cell, steps] = (config, folder)
        return made[cell, steps]

    return get


@pytest.mark.parametrize(("cell", "step"), QUICK)
def test_a_stopped_run_ends_with_the_same_bits(whole, tmp_path, cell, step):
    config, uninterrupted = whole(cell)
    stopped(config, tmp_path / "run", step)
    summary = train(config, run_dir=tmp_path / "run")
    assert summary.resumed == [{"step": step, "not_exact_because": []}]
    assert_same_end(tmp_path / "run", uninterrupted)


@pytest.mark.long
@pytest.mark.parametrize("step", range(1, LONG_STEPS + 1))
@pytest.mark.parametrize("cell", CELLS)
def test_stopped_at_every_step(whole, tmp_path, cell, step):
    config, uninterrupted = whole(cell, LONG_STEPS)
    stopped(config, tmp_path / "run", step)
    train(config, run_dir=tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize(("first", "then"), [("builtin", "manual"), ("manual", "builtin")])
def test_a_checkpoint_of_one_mode_resumes_in_the_other(whole, tmp_path, tiny_config, first, then):
    changes = CELLS["adamw, ema, two parts, one cycle"]
    stopped(tiny_config(**changes, mode=first), tmp_path / "run", 5)
    summary = train(tiny_config(**changes, mode=then), run_dir=tmp_path / "run")
    assert summary.resumed == [{"step": 5, "not_exact_because": []}]
    _, uninterrupted = whole("adamw, ema, two parts, one cycle")
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_run_killed_between_checkpoints_repeats_the_steps_since(whole, tmp_path):
    config, uninterrupted = whole("sgd")
    stopped(config, tmp_path / "run", 4)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "run" / "checkpoints", kept)
    stopped(config, tmp_path / "run", 9)
    # As if the process had died at step 9 without a word: its lines are there, its checkpoint is not.
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(kept, tmp_path / "run" / "checkpoints")
    train(config, run_dir=tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("field", ["optimizer/", "average/", "model/"])
def test_a_field_that_is_missing_is_noticed(whole, tmp_path, monkeypatch, field):
    config, uninterrupted = whole("adamw, ema, two parts, one cycle")
    real = capture_module.capture

    def forgetful(*args, **kwargs):
        saved = real(*args, **kwargs)
        names = sorted(name for name in saved.tensors if name.startswith(field))
        return type(saved)({name: t for name, t in saved.tensors.items() if name != names[0]}, saved.facts)

    monkeypatch.setattr("trainloop.training.capture", forgetful)
    stopped(config, tmp_path / "run", 4)
    monkeypatch.undo()
    try:
        train(config, run_dir=tmp_path / "run")
    except CheckpointError:
        return
    assert final_state(tmp_path / "run") != final_state(uninterrupted)


COUNTS = ("step", "epoch", "epoch_step", "epoch_loss_sum", "epoch_correct", "epoch_samples")


@pytest.mark.parametrize("field", COUNTS)
def test_a_count_that_is_forgotten_is_noticed(whole, tmp_path, monkeypatch, field):
    config, uninterrupted = whole("sgd")
    stopped(config, tmp_path / "run", 4)
    real = capture_module.restore

    def forgetful(training, saved):
        return dataclasses.replace(real(training, saved), **{field: 0})

    monkeypatch.setattr("trainloop.training.restore", forgetful)
    train(config, run_dir=tmp_path / "run")
    assert measured(tmp_path / "run") != measured(uninterrupted)


def test_forgotten_dropout_is_noticed(whole, tmp_path, monkeypatch):
    cell = "dropout, channels last"
    config, uninterrupted = whole(cell)
    stopped(config, tmp_path / "run", 4)
    monkeypatch.setattr("trainloop.checkpoint.random_streams.restore", lambda *_: None)
    train(config, run_dir=tmp_path / "run")
    assert final_state(tmp_path / "run")[0] != final_state(uninterrupted)[0]


class Drawer:
    """A part of the user's own that draws from the streams of Python and numpy in every step."""

    def handle(self, event):
        for _ in getattr(event, "records", ()):
            random.random()
            np.random.rand()

    def close(self):
        pass


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, tiny_config):
    """Return a config and the folder of a run without a break that draws."""
    config, folder = tiny_config(), tmp_path_factory.mktemp("drawn") / "run"
    train(config, run_dir=folder, sinks=[Drawer()])
    return config, folder


@pytest.mark.parametrize("forgotten", ["", "python", "numpy"])
def test_a_stream_that_is_forgotten_is_noticed(forgotten, drawn, tmp_path, monkeypatch):
    config, uninterrupted = drawn
    stopped(config, tmp_path / "run", 4, sinks=[Drawer()])
    if forgotten:
        module = {"python": random, "numpy": np.random}[forgotten]
        name = {"python": "setstate", "numpy": "set_state"}[forgotten]
        monkeypatch.setattr(module, name, lambda *_: None)
    train(config, run_dir=tmp_path / "run", sinks=[Drawer()])
    assert (final_state(tmp_path / "run") == final_state(uninterrupted)) == (not forgotten)


FACTS = {
    "metrics_bytes": (0, lambda folder: measured(folder)),
    "resumed": ([], lambda folder: [place["step"] for place in summary_of(folder)["resumed"]]),
}
"""fact of a checkpoint → what stands for nothing, and where it shows"""


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("forgotten", ["", *FACTS])
def test_a_fact_that_is_forgotten_is_noticed(forgotten, whole, tmp_path, monkeypatch):
    config, _ = whole("manual adamw, ema")
    stopped(config, tmp_path / "twice", 2)
    stopped(config, tmp_path / "twice", 4)
    shutil.copytree(tmp_path / "twice", tmp_path / "run")
    train(config, run_dir=tmp_path / "twice")
    if forgotten:
        real = training_module.find_start

        def forgetful(*args):
            start = real(*args)
            facts = start.saved.facts.model_copy(update={forgotten: FACTS[forgotten][0]})
            metrics = b"" if forgotten == "metrics_bytes" else start.metrics
            return dataclasses.replace(start, saved=type(start.saved)(start.saved.tensors, facts), metrics=metrics)

        monkeypatch.setattr(training_module, "find_start", forgetful)
    try:
        train(config, run_dir=tmp_path / "run")
    except CheckpointError:
        assert forgotten
        return
    shown = [FACTS[forgotten][1]] if forgotten else [look for _, look in FACTS.values()]
    assert all(look(tmp_path / "run") == look(tmp_path / "twice") for look in shown) == (not forgotten)


@pytest.mark.parametrize("forgotten", [False, True])
def test_skipped_steps_that_are_forgotten_are_noticed(forgotten, tmp_path, tiny_config, monkeypatch):
    look = FiniteCheck.__call__
    results = []

    def failing(check, result):
        results.append(look(check, result))
        check.passed = len(results) != 2
        return check.passed

    monkeypatch.setattr(FiniteCheck, "__call__", failing)
    monkeypatch.setattr(FiniteCheck, "look", lambda *_: NotFinite("loss", "the loss", "nan"))
    config = tiny_config(train={"on_nonfinite": "skip"})
    stopped(config, tmp_path / "run", 4)
    real = capture_module.restore
    changes = {"skipped_steps": 0} if forgotten else {}
    monkeypatch.setattr(training_module, "restore", lambda *args: dataclasses.replace(real(*args), **changes))
    assert train(config, run_dir=tmp_path / "run").skipped_steps == (0 if forgotten else 1)


def test_a_damaged_checkpoint_is_passed_over_in_words(whole, tmp_path, tiny_config):
    _, uninterrupted = whole("sgd")
    config = tiny_config(checkpoint={"every": 3})
    stopped(config, tmp_path / "run", 8)
    newest = tmp_path / "run" / "checkpoints" / "step-00000008"
    content = bytearray((newest / TENSORS).read_bytes())
    content[-1] ^= 1
    (newest / TENSORS).write_bytes(content)
    said = []
    train(config, run_dir=tmp_path / "run", announce=said.append)
    assert any("passed over" in line and "step-00000008" in line and "SHA-256" in line for line in said)
    assert any(line.startswith("going on from step 6 of 12") for line in said)
    assert measured(tmp_path / "run") == measured(uninterrupted)


def test_nothing_but_damaged_checkpoints_is_no_fresh_start(tmp_path, tiny_config):
    config = tiny_config()
    stopped(config, tmp_path / "run", 2)
    (tmp_path / "run" / "checkpoints" / "step-00000002" / TENSORS).write_bytes(b"")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="the checkpoint is damaged") as caught:
        train(config, run_dir=tmp_path / "run")
    assert caught.value.exit_code == 4
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_another_run_is_refused_field_by_field_and_can_be_allowed(tmp_path, tiny_config):
    stopped(tiny_config(), tmp_path / "run", 2)
    other = tiny_config(optimizer={"name": "sgd", "lr": 0.05}, seed=3)
    with pytest.raises(CheckpointError, match=r"optimizer\.lr differs") as caught:
        train(other, run_dir=tmp_path / "run")
    assert "seed differs" in str(caught.value)
    assert "--allow-changed" in str(caught.value)
    summary = train(other, run_dir=tmp_path / "run", allow_changed=True)
    reasons = summary.resumed[0]["not_exact_because"]
    assert any(reason.startswith("optimizer.lr was 0.1 and is 0.05") for reason in reasons)


def test_other_threads_are_told_and_recorded(tmp_path, tiny_config):
    stopped(tiny_config(), tmp_path / "run", 2)
    said = []
    summary = train(tiny_config(threads=2), run_dir=tmp_path / "run", announce=said.append)
    assert "not bit for bit the run without a break, because threads was 1 and is 2" in said
    assert summary.resumed == [{"step": 2, "not_exact_because": ["threads was 1 and is 2"]}]


def test_an_unfinished_run_of_the_same_name_and_config_is_found(whole, tmp_path, tiny_config, monkeypatch):
    config, uninterrupted = whole("sgd")
    monkeypatch.chdir(tmp_path)
    with stop_after(3), pytest.raises(InterruptedRunError):
        train(config, name="quick")
    (folder,) = (tmp_path / "runs").iterdir()
    with stop_after(3), pytest.raises(InterruptedRunError):
        train(config, name="quick", resume="none")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    said = []
    train(tiny_config(seed=1, train={"max_steps": 1}), name="quick", announce=said.append)
    assert len(list((tmp_path / "runs").iterdir())) == 3
    newest = sorted((tmp_path / "runs").iterdir())[1]
    assert f"the unfinished run runs/{newest.name} differs in seed, train.max_steps" in said[0]
    shutil.rmtree(newest)
    # How often it is saved is no part of what a run is.
    train(config.model_copy(update={"checkpoint": tiny_config(checkpoint={"every": 5}).checkpoint}), name="quick")
    assert_same_end(folder, uninterrupted)


def test_a_run_is_named_as_the_runs_commands_name_it(whole, tmp_path, monkeypatch):
    config, uninterrupted = whole("sgd")
    monkeypatch.chdir(tmp_path)
    stopped(config, tmp_path / "runs" / "alpha", 3)
    with pytest.raises(UsageError, match="did you mean alpha"):
        train(config, resume="alpa")
    with pytest.raises(UsageError, match="there is no such run"):
        train(config, resume="x" * 300)
    train(config, resume="latest")
    assert_same_end(tmp_path / "runs" / "alpha", uninterrupted)


def test_a_run_whose_checkpoints_are_gone_says_that_it_begins_anew(whole, tmp_path):
    config, uninterrupted = whole("sgd")
    stopped(config, tmp_path / "run", 3)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    said = []
    train(config, run_dir=tmp_path / "run", announce=said.append)
    assert said[0] == f"begins anew in {tmp_path / 'run'}: the run in it left no checkpoint"
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_checkpoint_goes_on_in_another_folder(whole, tmp_path):
    config, uninterrupted = whole("sgd")
    stopped(config, tmp_path / "run", 4)
    train(config, run_dir=tmp_path / "other", resume=str(tmp_path / "run" / "checkpoints" / "step-00000004"))
    assert_same_end(tmp_path / "other", uninterrupted)
    first = str(tmp_path / "run" / "checkpoints" / "step-00000004")
    stopped(config, tmp_path / "busy", 2)
    with pytest.raises(UsageError, match="this folder holds another run"):
        train(config, run_dir=tmp_path / "busy", resume=first)
    assert (tmp_path / "busy" / "checkpoints" / "step-00000002").is_dir()
    with pytest.raises(UsageError, match="there is nothing to go on from"):
        train(config, run_dir=tmp_path / "third", resume=str(tmp_path))


def test_a_full_disk_ends_no_training_and_claims_nothing(whole, tmp_path, tiny_config, monkeypatch):
    _, uninterrupted = whole("sgd")
    events = []
    real, count = operations.rename_folder, []

    def full(source, target):
        count.append(target.name)
        if len(count) <= 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(operations, "rename_folder", full)

    class Heard:
        def handle(self, event):
            events.append(event)

        def close(self):
            pass

    train(tiny_config(checkpoint={"every": 3}), run_dir=tmp_path / "run", sinks=[Heard()])
    notices = [event.text for event in events if event.kind == "notice"]
    assert len(notices) == 2
    assert all("no space left to write" in text and "bytes free" in text for text in notices)
    assert [event.step for event in events if event.kind == "checkpoint"] == [9, 12, 12]
    assert measured(tmp_path / "run") == measured(uninterrupted)


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_evaluation_is_left_at_once_and_done_again(whole, tmp_path, split):
    config, uninterrupted = whole("adamw, ema, two parts, one cycle")

    class Stop:
        def handle(self, event):
            if event.kind == "evaluating" and event.split == split:
                os.kill(os.getpid(), signal.SIGINT)

        def close(self):
            pass

    with pytest.raises(InterruptedRunError) as caught:
        train(config, run_dir=tmp_path / "run", sinks=[Stop()])
    assert caught.value.exit_code == 130
    train(config, run_dir=tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


def test_sigusr1_saves_and_goes_on(whole, tmp_path):
    config, uninterrupted = whole("sgd")
    events = []

    class Ask:
        def handle(self, event):
            events.append(event)
            if event.kind == "start":
                os.kill(os.getpid(), signal.SIGUSR1)

        def close(self):
            pass

    train(config, run_dir=tmp_path / "run", sinks=[Ask()])
    assert [(event.step, event.asked) for event in events if event.kind == "checkpoint"] == [(1, True), (STEPS, False)]
    assert_same_end(tmp_path / "run", uninterrupted)
