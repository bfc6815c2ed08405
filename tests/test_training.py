"""Whole runs on tiny data: the run folder, both modes, and what a run promises."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import trainloop
from trainloop.config import load_config
from trainloop.config.schema import RunConfig
from trainloop.errors import (
    CheckpointError,
    DataError,
    InterruptedRunError,
    ModelError,
    NonFiniteError,
    PluginError,
    ResourceError,
    UsageError,
)
from trainloop.saved_run import evaluate_run, predict_images, read_run
from trainloop.training import train

TINY = {"train": {"max_steps": 3, "batch_size": 8, "eval_batch_size": 250}, "log": {"timing_every": 1}, "threads": 2}


def config_of(**changes):
    merged = {**TINY, **changes}
    merged["train"] = {**TINY["train"], **changes.get("train", {})}
    return RunConfig.model_validate(merged)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, train(config_of(), run_dir=folder)


def test_the_package_offers_train():
    assert trainloop.train is train


def test_a_run_folder_explains_itself(finished):
    folder, summary = finished
    names = {
        "config.yaml",
        "env.json",
        "metrics.jsonl",
        "summary.json",
        "weights.safetensors",
        "curves.png",
        "checkpoints",
    }
    assert {file.name for file in folder.iterdir() if not file.name.startswith(".")} == names
    assert read_json(folder / "summary.json") == json.loads(json.dumps(summary.as_dict()))
    assert read_json(folder / "env.json").keys() == {"versions", "hardware", "knobs", "git", "wrong_answers", "data"}
    assert load_config(folder / "config.yaml").config == config_of()


def test_the_summary_holds_the_promised_fields(finished):
    _, summary = finished
    promised = {
        "mode": "builtin",
        "device": summary.device,
        "seed": 0,
        "steps": 3,
        "epochs": 1,
        "parameters": 94_762,
    }
    assert promised.items() <= summary.as_dict().items()
    assert list(summary.stages_ms) == ["data", "zero_grad", "forward", "loss", "backward", "check", "sync", "step"]
    assert summary.seconds > summary.train_seconds > 0
    assert 0 <= summary.test_accuracy <= 1
    assert len(summary.weights_sha256) == 64


def test_metrics_have_a_line_a_step_and_one_for_the_test(finished):
    folder, summary = finished
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["step", "step", "step", "epoch", "test"]
    assert events[-1]["test_accuracy"] == summary.test_accuracy


def test_both_modes_give_the_same_weights_and_the_same_metrics(finished, tmp_path):
    folder, builtin = finished
    manual = train(config_of(mode="manual"), run_dir=tmp_path / "manual")
    assert manual.weights_sha256 == builtin.weights_sha256
    assert manual.stages == dict.fromkeys(["zero_grad", "forward", "loss", "backward", "sync", "step"], "manual")
    assert without_times(tmp_path / "manual") == without_times(folder)


def without_times(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


KERNEL = """
import torch
from torch.nn import grad

def fast(*arguments):
    return torch.conv2d(*arguments)

def fast_grad_input(grad_output, weight, input_shape, *geometry):
    return grad.conv2d_input(input_shape, weight, grad_output, *geometry)

def fast_grad_weight(grad_output, input, weight_shape, *geometry):
    return grad.conv2d_weight(input, weight_shape, grad_output, *geometry)

def raises(*arguments):
    raise ValueError("out of luck")
"""


def test_a_kernel_of_ones_own_trains_and_its_run_is_evaluated_without_it(tmp_path):
    file = tmp_path / "my.py"
    file.write_text(KERNEL, encoding="utf-8")
    name = f"{file}:fast"
    summary = train(config_of(mode="manual", stages={"conv": name}), run_dir=tmp_path / "own", plugins=[file])
    assert {which for by in summary.convolutions.values() for which in by.values()} == {name}
    file.unlink()
    assert evaluate_run(read_run(tmp_path / "own"), print).accuracy == summary.test_accuracy


def test_a_kernel_of_ones_own_needs_the_command_lines_leave(tmp_path):
    file = tmp_path / "my.py"
    file.write_text(KERNEL, encoding="utf-8")
    with pytest.raises(PluginError, match="a config alone never runs a file"):
        train(config_of(mode="manual", stages={"conv": f"{file}:fast"}), run_dir=tmp_path / "own")


def test_a_kernel_that_raises_ends_a_training_with_its_line(tmp_path):
    file = tmp_path / "my.py"
    file.write_text(KERNEL, encoding="utf-8")
    config = config_of(mode="manual", stages={"conv": f"{file}:raises,aten"})
    with pytest.raises(PluginError, match="raised in forward of n8 c3") as caught:
        train(config, run_dir=tmp_path / "own", plugins=[file])
    assert caught.value.faults[0].where == f"{file}:{len(KERNEL.splitlines())}"


def test_what_is_logged_and_timed_does_not_change_the_weights(finished, tmp_path):
    _, summary = finished
    other = config_of(log={"every": 2, "timing_every": 1000})
    assert train(other, run_dir=tmp_path / "r").weights_sha256 == summary.weights_sha256


def test_another_seed_gives_other_weights(finished, tmp_path):
    _, summary = finished
    assert train(config_of(seed=1), run_dir=tmp_path / "r").weights_sha256 != summary.weights_sha256


def test_evaluate_reproduces_the_accuracy(finished):
    folder, summary = finished
    result = evaluate_run(read_run(folder), print)
    assert result.accuracy == summary.test_accuracy
    assert result.loss == summary.test_loss
    assert result.samples == 500


def test_predict_ranks_the_classes_of_an_image_of_any_size(finished, tmp_path):
    from PIL import Image

    folder, _ = finished
    Image.new("L", (50, 40), 128).save(tmp_path / "grey.png")
    (prediction,) = predict_images(read_run(folder), [tmp_path / "grey.png"])
    shares = [share for _, share in prediction.ranking]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 10


@pytest.mark.parametrize(("name", "text"), [("missing.png", "no such image"), ("text.png", "cannot be read")])
def test_predict_names_the_file_it_cannot_read(finished, tmp_path, name, text):
    folder, _ = finished
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match=rf"{name}: .*{text}"):
        predict_images(read_run(folder), [tmp_path / name])


def test_weights_are_those_of_the_digest(finished):
    from trainloop.models import build_model
    from trainloop.report.weights import weights_sha256

    folder, summary = finished
    saved = read_run(folder)
    model = build_model(
        saved.config.model, num_classes=10, image_shape=(3, 32, 32), train_images=None, mean=(0.5,) * 3, std=(1.0,) * 3
    )
    assert weights_sha256(model) == summary.weights_sha256
    assert load_file(folder / "weights.safetensors").keys() == model.state_dict().keys()


def test_a_run_can_start_from_the_weights_of_another(finished, tmp_path):
    folder, _ = finished
    config = config_of(model={"weights": folder}, optimizer={"name": "sgd", "lr": 1e-30, "momentum": 0.0})
    train(config, run_dir=tmp_path / "r")
    before, after = load_file(folder / "weights.safetensors"), load_file(tmp_path / "r" / "weights.safetensors")
    assert torch.equal(before["head.weight"], after["head.weight"])


def test_validation_images_are_evaluated_each_epoch(tmp_path):
    summary = train(config_of(data={"val_size": 100}), run_dir=tmp_path / "r")
    assert summary.val_accuracy is not None
    epoch = json.loads((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()[3])
    assert epoch["val_accuracy"] == summary.val_accuracy


def test_the_average_of_the_weights_is_what_is_saved(finished, tmp_path):
    _, plain = finished
    averaged = train(config_of(train={"ema_decay": 0.9}), run_dir=tmp_path / "r")
    assert averaged.weights_sha256 != plain.weights_sha256
    assert evaluate_run(read_run(tmp_path / "r"), print).accuracy == averaged.test_accuracy


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"channels_last": True}},
        {"train": {"accumulation_steps": 2}},
        {"train": {"precision": "bf16"}},
        {"deterministic": "strict"},
        {"deterministic": "off"},
        {"optimizer": {"name": "adamw"}, "schedule": {"name": "one_cycle"}},
        {"data": {"image_size": 40, "augment": {"flip": "alternating", "translate": 2, "cutout": 8}}},
    ],
    ids=str,
)
def test_a_run_with(changes, tmp_path):
    try:
        summary = train(config_of(**changes), run_dir=tmp_path / "r")
    finally:
        torch.use_deterministic_algorithms(False)
    assert evaluate_run(read_run(tmp_path / "r"), print).accuracy == summary.test_accuracy


def test_the_same_run_twice_has_the_same_bits_in_strict_mode(tmp_path):
    try:
        digests = {train(config_of(deterministic="strict"), run_dir=tmp_path / str(n)).weights_sha256 for n in range(2)}
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(digests) == 1


def test_a_diverging_run_stops_and_saves_no_weights(tmp_path):
    config = config_of(optimizer={"name": "sgd", "lr": 1e30}, train={"max_steps": 20})
    with pytest.raises(NonFiniteError, match=r"step \d+, epoch 1, stage forward: .*\n  found: output of ") as caught:
        train(config, run_dir=tmp_path / "r")
    assert caught.value.exit_code == 5
    names = {file.name for file in (tmp_path / "r").iterdir() if not file.name.startswith(".")}
    assert names == {"config.yaml", "env.json", "metrics.jsonl"}
    assert '": NaN' not in (tmp_path / "r" / "metrics.jsonl").read_text()


class Interrupt:
    def handle(self, event):
        if event.kind == "step":
            raise InterruptedRunError("interrupted by Ctrl-C")

    def close(self):
        pass


def test_an_interrupted_run_says_what_is_kept(tmp_path):
    with pytest.raises(InterruptedRunError, match="no checkpoint yet") as caught:
        train(config_of(), run_dir=tmp_path / "r", sinks=[Interrupt()])
    assert str(tmp_path / "r") in str(caught.value)
    assert (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") >= 1
    with pytest.raises(UsageError, match="holds no finished run"):
        read_run(tmp_path / "r")


class RunOut:
    def __init__(self, error):
        self.error = error

    def handle(self, event):
        if event.kind == "start":
            raise self.error

    def close(self):
        pass


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=repr,
)
def test_out_of_memory_names_the_batch_size_and_the_way_out(tmp_path, error):
    with pytest.raises(ResourceError, match="batch size 8") as caught:
        train(config_of(), run_dir=tmp_path / "r", sinks=[RunOut(error)])
    assert caught.value.exit_code == 6
    assert "--set train.batch_size=4" in str(caught.value)


def test_a_batch_of_one_image_that_batch_norm_refuses_says_which_setting_to_change(tmp_path):
    error = ValueError("Expected more than 1 value per channel when training, got input size torch.Size([1, 8, 1, 1])")
    with pytest.raises(ModelError, match=r"train\.batch_size: .*\n  found: batch size 8 in 1 part") as caught:
        train(config_of(), run_dir=tmp_path / "r", sinks=[RunOut(error)])
    assert "--set train.batch_size=9" in str(caught.value)


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="something else"):
        train(config_of(), run_dir=tmp_path / "r", sinks=[RunOut(RuntimeError("something else"))])


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such run folder"):
        read_run(tmp_path / "nothing")
    with pytest.raises(UsageError, match="holds no finished run"):
        read_run(tmp_path)


def test_a_run_without_weights_or_with_a_damaged_file_is_refused(finished, tmp_path):
    folder, _ = finished
    for name in ("config.yaml", "summary.json", "env.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match="weights of this run are missing"):
        read_run(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        evaluate_run(read_run(tmp_path), print)
    (tmp_path / "env.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"env\.json: a file of this run is missing or damaged"):
        read_run(tmp_path)


@pytest.mark.parametrize("position", [-1, -1000])
def test_a_flipped_bit_in_the_weights_is_noticed(finished, tmp_path, position):
    folder, _ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[position] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"weights\.safetensors: the weights are not those that the run ended with"
    ):
        evaluate_run(read_run(tmp_path), print)


def test_a_disk_without_room_for_the_results_is_refused_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr("trainloop.files.refusal.free_bytes", lambda _: 400_000)
    with pytest.raises(ResourceError, match="no space left for the results") as caught:
        train(config_of(), run_dir=tmp_path / "r")
    assert "found: 400,000 bytes free" in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="this is a file, not a run folder"):
        read_run(tmp_path / "file")
