"""A checkpoint of another run is refused field by field, with what was and what is, or gone on with where the user says so."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from trainloop.checkpoint import capture as capture_module
from trainloop.checkpoint.capture import optimizer_entries, restore
from trainloop.checkpoint.folder import MANIFEST
from trainloop.errors import CheckpointError
from trainloop.training import train

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, wide=4):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, wide), nn.Linear(wide, num_classes))

    def forward(self, x):
        return self.body(x)
"""


def step_one(config, folder, **options):
    """Train one step and leave the run unfinished."""
    train(config, run_dir=folder, **options)
    (folder / "summary.json").unlink()


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tiny_config):
    folder = tmp_path_factory.mktemp("begun") / "run"
    step_one(tiny_config(train={"max_steps": 1}), folder)
    return folder


@pytest.fixture
def run(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


@pytest.fixture
def images(tmp_path):
    """Return a folder of images of three classes."""
    from PIL import Image

    for split, shade in (("train", 10), ("test", 200)):
        for number, name in enumerate(("ant", "bee", "cow")):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for image in range(8):
                colour = (shade + number, image, image)
                Image.new("RGB", (32, 32), colour).save(tmp_path / "images" / split / name / f"{image}.png")
    return tmp_path / "images"


def refused(config, folder, **options):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as caught:
        train(config, run_dir=folder, **options)
    assert caught.value.exit_code == 4
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return {fault.what: (fault.expected, fault.found) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("changes", "key", "was", "now"),
    [
        ({"model": {"args": {"width": 5}}}, "model.args.width", "4", "now 5"),
        ({"model": {"name": "resnet20", "args": {}}}, "model.name", "small_cnn", "now resnet20"),
        ({"optimizer": {"name": "adamw", "lr": 1e-3}}, "optimizer.name", "sgd", "now adamw"),
        ({"train": {"max_steps": 9}}, "train.max_steps", "1", "now 9"),
        ({"data": {"val_size": 400}}, "data.val_size", "500", "now 400"),
        ({"schedule": {"name": "constant"}}, "schedule.name", "cosine", "now constant"),
    ],
    ids=str,
)
def test_an_edited_config_is_refused_by_key(run, tiny_config, changes, key, was, now):
    changes = {**changes, "train": {"max_steps": 1, **changes.get("train", {})}}
    assert refused(tiny_config(**changes), run)[f"this run is not the one that was saved: {key} differs"] == (was, now)


def test_other_images_and_classes_are_refused_by_digest(run, tiny_config, images):
    faults = refused(
        tiny_config(train={"max_steps": 1}, data={"dataset": "folder", "path": str(images), "val_size": 3}), run
    )
    was, now = faults["this run is not the one that was saved: the data set differs"]
    assert was != now.removeprefix("now ")


def test_a_plug_in_that_changed_is_refused_by_name(tmp_path, tiny_config):
    file = tmp_path / "net.py"
    file.write_text(NET)
    config = tiny_config(train={"max_steps": 1}, model={"name": f"{file}:Net", "args": {}})
    step_one(config, tmp_path / "run", plugins=[file])
    file.write_text(NET + "# changed\n")
    assert "this run is not the one that was saved: the file net.py differs" in refused(
        config, tmp_path / "run", plugins=[file]
    )


def test_another_shape_is_refused_by_name_even_if_changes_are_allowed(run, tiny_config):
    with pytest.raises(CheckpointError, match="this checkpoint is not of the model") as caught:
        train(tiny_config(train={"max_steps": 1}, model={"args": {"width": 5}}), run_dir=run, allow_changed=True)
    assert "in the checkpoint: (4, 3, 3, 3) float32" in str(caught.value)
    assert "in this run: (5, 3, 3, 3) float32" in str(caught.value)


@pytest.mark.parametrize("mode", ["builtin", "manual"])
@pytest.mark.parametrize(
    "optimizer",
    [{"name": "adamw", "lr": 1e-3}, {"name": "adafactor", "lr": 1e-3}, {"name": "rmsprop", "lr": 1e-3}],
    ids=str,
)
def test_another_optimizer_begins_anew_where_that_is_allowed(run, tiny_config, mode, optimizer):
    summary = train(
        tiny_config(mode=mode, train={"max_steps": 2}, optimizer=optimizer), run_dir=run, allow_changed=True
    )
    reasons = summary.resumed[0]["not_exact_because"]
    assert f"optimizer.name was sgd and is {optimizer['name']}" in reasons
    assert "what the optimizer remembered is left out" in reasons


@pytest.mark.parametrize("version", [0, 2])
def test_another_format_is_named_as_such(run, tiny_config, version):
    for folder in (run / "checkpoints").iterdir():
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, "schema_version": version}))
    faults = refused(tiny_config(train={"max_steps": 1}), run)
    assert faults["the checkpoint is of another version of trainloop"] == ("format 1", f"format {version}")


def every_optimizer():
    from trainloop.manual.optim import OPTIMIZERS

    return sorted(OPTIMIZERS)


@pytest.fixture(scope="module")
def trained(tiny_config):
    """Return a function: (optimizer, mode) → a training after one step, and its checkpoint in memory."""
    from trainloop.build import build_training
    from trainloop.checkpoint.capture import Origin, capture
    from trainloop.loop.progress import Progress
    from trainloop.loop.step import train_step
    from trainloop.training import machine

    def make(name, mode):
        config = tiny_config(mode=mode, optimizer={"name": name}, train={"batch_size": 8})
        training, dataset = build_training(config, lambda _: None, [])
        train_step(training.stages, next(training.epoch_batches(0)), 1, 1e-3)
        origin = Origin(config.model_dump(mode="json"), machine(training.device), dataset.digest, {})
        return training, capture(training, Progress(step=1), origin, metrics_bytes=0)

    return make


@pytest.mark.parametrize("name", every_optimizer())
def test_what_every_optimizer_remembers_fits_and_another_shape_does_not(trained, name):
    """Whatever an optimizer remembers, in either mode, must pass the check of shapes; one entry of another shape must not."""
    # torch.optim.Muon takes no convolutions.
    made = {mode: trained(name, mode) for mode in ("builtin", "manual") if (name, mode) != ("muon", "builtin")}
    for (_, saved), (fresh, _) in zip(made.values(), reversed(list(made.values())), strict=True):
        restore(fresh, type(saved)({key: tensor.clone() for key, tensor in saved.tensors.items()}, saved.facts))
        assert dict(optimizer_entries(fresh)).keys() == {
            key.removeprefix("optimizer/").rpartition("/")[0] for key in saved.tensors if key.startswith("optimizer/")
        } | set(saved.facts.optimizer_numbers)
        first = next((key for key in saved.tensors if key.startswith("optimizer/") and saved.tensors[key].dim()), None)
        if first is not None:
            wrong = {**saved.tensors, first: torch.zeros(2, 3, 4)}
            with pytest.raises(CheckpointError, match=r"not of this model|does not fit"):
                restore(fresh, type(saved)(wrong, saved.facts))


def test_state_that_the_optimizer_misses_is_blamed_on_the_checkpoint(tmp_path, tiny_config, monkeypatch):
    real = capture_module.capture

    def forgetful(*args, **kwargs):
        saved = real(*args, **kwargs)
        kept = {name: tensor for name, tensor in saved.tensors.items() if not name.endswith("/exp_avg")}
        return type(saved)(kept, saved.facts)

    config = tiny_config(optimizer={"name": "adamw", "lr": 1e-3}, checkpoint={"every": 1, "keep": 3})
    monkeypatch.setattr("trainloop.training.capture", forgetful)
    step_one(config, tmp_path / "run")
    monkeypatch.undo()
    for folder in (tmp_path / "run" / "checkpoints").glob("step-00000012*"):
        shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="the first step from this checkpoint fails") as caught:
        train(config, run_dir=tmp_path / "run")
    assert "KeyError: 'exp_avg'" in str(caught.value)
    assert "step-00000011" in str(caught.value)
