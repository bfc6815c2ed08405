"""The folder that shows a difference alone: what it holds, that it shows the recorded values, and when it falls silent."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import trainloop.files
from trainloop.compare.api import TrainingStep, compare
from trainloop.compare.pipeline import Extras, compare_sides
from trainloop.compare.reproduction import default_folder
from trainloop.compare.run import Settings
from trainloop.compare.settings import Plugins, describe_sides

CONFIG = """
data: {dataset: cifar10-mini, image_size: 8}
model: {name: "net.py:Net"}
optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
train: {batch_size: 4, max_steps: 3}
device: cpu
threads: 1
"""
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes):
        layers = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, num_classes)
        super().__init__(*layers)
"""
OPTIMIZER = """
import torch

class Own(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum):
        super().__init__(params, dict(lr=lr, momentum=momentum))
        self.count = 0

    @torch.no_grad()
    def step(self):
        self.count += 1
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                buf = state.get("velocity")
                state["velocity"] = param.grad.clone() if buf is None else buf.mul_(group["momentum"]).add_(param.grad)
                param.add_(state["velocity"], alpha=-group["lr"] * FACTOR)
"""
ZERO_GRAD = """

    def zero_grad(self, set_to_none=True):
        if FACTOR == 1.0:
            super().zero_grad(set_to_none)
"""
LOSS = """
import torch.nn.functional as F

def own_loss(logits, labels):
    return F.cross_entropy(logits, labels) * FACTOR
"""
RELU = """
def relu(input, inplace=False):
    return input.clamp(min=0) * FORWARD, (input,)

def relu_vjp(grad_output, input):
    return grad_output * (input > 0) * BACKWARD
"""
OWN_NET = """
from torch import nn

class Own(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(144, num_classes)
        self.add_module("1", nn.BatchNorm2d(4))

    def forward(self, x):
        return self.head((self.get_submodule("1")(self.conv(x)) * FACTOR).relu().flatten(1))
"""
CONV = """
import torch
from torch.nn import grad

def own(input, weight, *rest):
    return torch.conv2d(input, weight * FACTOR, *rest)

def own_grad_input(grad_output, weight, input_shape, *rest):
    return grad.conv2d_input(input_shape, weight, grad_output, *rest)

def own_grad_weight(grad_output, input, weight_shape, *rest):
    return grad.conv2d_weight(input, weight_shape, grad_output, *rest)
"""
FAULTY = {
    "conv.py": CONV.replace("FACTOR", "1.01"),
    "step.py": OPTIMIZER.replace("FACTOR", "(1.1 if self.count > 1 else 1.0)"),
    "zero_grad.py": "FACTOR = 0.5\n" + OPTIMIZER.replace(" * FACTOR", "") + ZERO_GRAD,
    "loss.py": LOSS.replace("FACTOR", "1.5"),
    "forward.py": RELU.replace("FORWARD", "1.01").replace("BACKWARD", "1.0"),
    "backward.py": RELU.replace("FORWARD", "1.0").replace("BACKWARD", "1.01"),
    "own_net.py": OWN_NET.replace("FACTOR", "1.01"),
}
MENDED = {
    "conv.py": CONV.replace("FACTOR", "1.0"),
    "step.py": OPTIMIZER.replace("FACTOR", "1.0"),
    "zero_grad.py": "FACTOR = 1.0\n" + OPTIMIZER.replace(" * FACTOR", "") + ZERO_GRAD,
    "loss.py": LOSS.replace("FACTOR", "1.0"),
    "forward.py": RELU.replace("FORWARD", "1.0").replace("BACKWARD", "1.0"),
    "backward.py": RELU.replace("FORWARD", "1.0").replace("BACKWARD", "1.0"),
    "own_net.py": OWN_NET.replace("FACTOR", "1.0"),
}
CASES = {
    "step": {"plugins": Plugins(optimizer="step.py:Own")},
    "zero_grad": {"plugins": Plugins(optimizer="zero_grad.py:Own")},
    "loss": {"plugins": Plugins(loss="loss.py:own_loss")},
    "forward": {"plugins": Plugins(rule="relu=forward.py:relu")},
    "backward": {"plugins": Plugins(rule="relu=backward.py:relu")},
    "sync": {"reference": "train.clip_grad_norm=0.5", "candidate": "mode=manual,train.clip_grad_norm=0.4"},
    "own_net": {"plugins": Plugins(model="own_net.py:Own")},
    "conv": {"plugins": Plugins(conv="conv.py:own")},
}
STAGES = {**{name: name for name in CASES}, "own_net": "forward", "conv": "forward"}
DRIVER = """
import contextlib, io, json, runpy, sys

def run(script):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            return end.code, output.getvalue()

print(json.dumps({script: run(script) for script in sys.argv[1:]}))
"""


def write(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text)


def run_all(folder, scripts):
    """Run scripts in one other process; script → exit code and output."""
    done = subprocess.run([sys.executable, "-c", DRIVER, *scripts], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Compare with a fault in each stage; then run the scripts without the config, and again with the faults mended."""
    folder, home = tmp_path_factory.mktemp("reproduction"), Path.cwd()
    write(folder, {"config.yaml": CONFIG, "net.py": NET, **FAULTY})
    os.chdir(folder)
    try:
        verdicts = {}
        for name, case in CASES.items():
            sides = describe_sides(Path("config.yaml"), files=[Path("net.py")], **case)
            extras = Extras(0, Path("runs") / name)
            verdicts[name] = compare_sides(sides, Settings(3, cases=False), extras)
    finally:
        os.chdir(home)
    (folder / "config.yaml").unlink()
    scripts = {name: f"runs/{name}/reproduce.py" for name in CASES}
    faulty = run_all(folder, scripts.values())
    write(folder, MENDED)
    clipping = folder / scripts["sync"]
    clipping.write_text(clipping.read_text().replace("0.4", "0.5"))
    mended = run_all(folder, scripts.values())
    return {name: (verdicts[name], faulty[script], mended[script], folder / script) for name, script in scripts.items()}


def value_of(output, side):
    line = next(line for line in output.splitlines() if line.startswith(side))
    return float(line.split()[1])


@pytest.mark.parametrize("name", CASES)
def test_the_fault_is_found_in_its_stage(shown, name):
    verdict, _, _, _ = shown[name]
    assert verdict.first.stage == STAGES[name], verdict.reason


@pytest.mark.parametrize("name", CASES)
def test_the_script_says_no_as_long_as_the_difference_is_there(shown, name):
    _, (code, output), _, _ = shown[name]
    assert code == 1, output
    assert output.endswith("the difference is there\n")


@pytest.mark.parametrize("name", [name for name in CASES if name != "zero_grad"])
def test_the_script_shows_the_values_of_the_comparison(shown, name):
    verdict, (_, output), _, _ = shown[name]
    assert value_of(output, "reference") == pytest.approx(verdict.first.reference, rel=1e-6)
    assert value_of(output, "candidate") == pytest.approx(verdict.first.candidate, rel=1e-6)
    assert f"difference at {list(verdict.first.index)}" in output


def test_the_script_shows_a_gradient_that_should_be_gone(shown):
    _, (_, output), _, _ = shown["zero_grad"]
    assert output.startswith("reference  None   recorded: None\ncandidate  a tensor of shape")


@pytest.mark.parametrize("name", CASES)
def test_the_script_says_yes_when_the_fault_is_mended(shown, name):
    _, _, (code, output), _ = shown[name]
    assert code == 0, output
    assert output.endswith("the difference is gone\n")


@pytest.mark.parametrize("name", CASES)
def test_the_script_is_short_and_knows_nothing_of_the_config(shown, name):
    _, _, _, script = shown[name]
    text = script.read_text()
    assert len(text.splitlines()) <= 100
    assert "config.yaml" not in text


@pytest.mark.parametrize("name", CASES)
def test_the_scripts_lines_fit_the_screen(shown, name):
    _, _, _, script = shown[name]
    assert max(len(line) for line in script.read_text().splitlines()) <= 160


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_names_the_folder(shown, name):
    verdict, _, _, script = shown[name]
    assert verdict.reproduction == str(Path("runs") / name)
    assert {file.name for file in script.parent.iterdir()} == {"reproduce.py", "tensors.safetensors"}


def test_the_script_runs_as_the_report_says(shown):
    _, _, _, script = shown["step"]
    done = subprocess.run(
        [sys.executable, "runs/step/reproduce.py"], cwd=script.parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# Other conditions, each with a script that is run here

AWKWARD = """
import torch

class Stops(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            missing = [param.grad is None for param in group["params"]]
            for param in group["params"][missing.index(True) if any(missing) else len(missing):]:
                param.grad = None
        return super().step(closure)

class Counts(torch.optim.SGD):
    def __init__(self, params, lr, momentum):
        super().__init__(params, lr=lr, momentum=momentum)

    def step(self, closure=None):
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            for param in group["params"]:
                self.state[param]["number"] = self.state[param].get("number", 0) + 1
                if group["count"] == self.state[param]["number"] == 3:
                    param.grad *= 1.1
        return super().step(closure)
"""
UNFLIPPED = CONV.replace("weight * FACTOR", "weight").replace("shape, weight, grad", "shape, weight.flip(2, 3), grad")
TWO_CONVOLUTIONS = NET.replace("nn.ReLU()", "nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)")
RELU_PLUGIN = {"plugins": Plugins(rule="relu=backward.py:relu")}
CONDITIONS = {
    "all parameters take part": ([], True, {"plugins": Plugins(optimizer="awkward.py:Stops")}),
    "counts in groups and numbers": ([], False, {"plugins": Plugins(optimizer="awkward.py:Counts")}),
    "dropout": (["model.name=dropout.py:Net"], False, RELU_PLUGIN),
    "parts": (["train.accumulation_steps=2"], False, RELU_PLUGIN),
    "parts in the forward": (["train.accumulation_steps=2"], False, {"plugins": Plugins(rule="relu=forward.py:relu")}),
    "parts in the loss": (["train.accumulation_steps=2"], False, {"plugins": Plugins(loss="loss.py:own_loss")}),
    "channels last": (["train.channels_last=true"], False, RELU_PLUGIN),
    "channels last in the step": (["train.channels_last=true"], False, {"plugins": Plugins(optimizer="step.py:Own")}),
    "a kernel and its gradient": (["model.name=two.py:Net"], False, {"plugins": Plugins(conv="unflipped.py:own,aten")}),
    "a kernel under a rule": ([], False, {"plugins": Plugins(rule="relu=backward.py:relu", conv="im2col")}),
    "formulas": (["stages.rules=formula"], False, RELU_PLUGIN),
    "another lr": ([], False, {"candidate": "mode=manual,stages.step=foreach,optimizer.lr=0.2"}),
    "groups": (
        ["optimizer.groups=[{match: '*.bias', lr_scale: 0.5}]"],
        True,
        {"candidate": "mode=manual,optimizer.momentum=0.8"},
    ),
    "groups with decay": (
        [
            "optimizer.weight_decay=0.3",
            "optimizer.groups=[{match: '*.bias', weight_decay: 0}, {match: '1.*', lr_scale: 2}]",
        ],
        True,
        {"plugins": Plugins(optimizer="awkward.py:Stops")},
    ),
    "two optimizers": (
        ["optimizer={name: muon, lr: 0.01}", "mode=manual"],
        False,
        {"reference": "mode=manual", "candidate": "mode=manual,optimizer.rest_eps=1e-3"},
    ),
}


def compared_here(folder, overrides, cases, options, *, exact=False):
    """Compare in a folder, run the script there; return the verdict, the exit code, the output and the script."""
    dropout = NET.replace("nn.Flatten()", "nn.Flatten(), nn.Dropout(0.3)")
    write(folder, {"config.yaml": CONFIG, "net.py": NET, "dropout.py": dropout, "awkward.py": AWKWARD, **FAULTY})
    write(folder, {"unflipped.py": UNFLIPPED, "two.py": TWO_CONVOLUTIONS})
    files = [Path("net.py"), Path("dropout.py"), Path("two.py")]
    sides = describe_sides(Path("config.yaml"), overrides, files=files, **options)
    verdict = compare_sides(sides, Settings(3, cases=cases, exact=exact), Extras(0, Path("here")))
    script = folder / "here" / "reproduce.py"
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    return verdict, end.value.code, output.getvalue(), script.read_text()


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_script_shows_the_recorded_values_whatever_the_conditions(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verdict, code, output, text = compared_here(tmp_path, *CONDITIONS[name])
    assert code == 1
    assert "runs neither side" not in text
    assert value_of(output, "reference") == pytest.approx(verdict.first.reference, rel=1e-5)
    assert value_of(output, "candidate") == pytest.approx(verdict.first.candidate, rel=1e-5)


def test_the_script_says_that_all_parameters_take_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, text = compared_here(tmp_path, *CONDITIONS["all parameters take part"])
    assert "The parameter alone does not show the difference, so all of them take part." in text


def test_where_every_bit_counts_the_script_compares_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, code, _, text = compared_here(tmp_path, [], False, {"candidate": "mode=manual,stages.rules=formula"}, exact=True)
    assert code == 1
    assert "Every bit counts" in text
    assert "ALLOWED" not in text


def test_where_no_script_can_be_made_the_recorded_tensors_are_left(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise KeyError("an optimizer of a kind that nobody thought of")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trainloop.compare.reproduction.write.update_script", fails)
    verdict, code, _, text = compared_here(tmp_path, [], False, {"plugins": Plugins(optimizer="step.py:Own")})
    assert (verdict.verdict, code) == ("different", 1)
    assert "does not show the difference. So this script runs neither side" in " ".join(text.split())


# From Python, where nothing can be imported


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))


def batches():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(5, 12, generator=generator), torch.arange(5) % 4) for _ in range(2)]


def steps(candidate_lr=0.2):
    model = net()
    return [TrainingStep(model, partial(torch.optim.SGD, lr=lr)) for lr in (0.1, candidate_lr)]


def test_python_objects_leave_a_script_with_a_place_for_the_candidate(tmp_path):
    verdict = compare(*steps(), batches(), cases=False, reproduction=tmp_path / "one")
    text = (tmp_path / "one" / "reproduce.py").read_text()
    assert verdict.reproduction == str(tmp_path / "one")
    assert "candidate_of_yours = None  # <- put your function in here" in text
    assert "Python objects, which a script cannot import" in " ".join(text.split())


def test_a_function_in_the_marked_place_is_judged(tmp_path):
    compare(*steps(), batches(), cases=False, reproduction=tmp_path / "one")
    script = tmp_path / "one" / "reproduce.py"
    mended = 'candidate_of_yours = lambda tensors: tensors["param"] - 0.1 * tensors["grad"]'
    text = script.read_text()
    (tmp_path / "one" / "mended.py").write_text(text.replace("candidate_of_yours = None", mended))
    found = run_all(tmp_path, [str(script), str(tmp_path / "one" / "mended.py")])
    assert [code for code, _ in found.values()] == [1, 0]


def test_the_tensors_of_python_objects_are_the_inputs_of_the_stage(tmp_path):
    compare(*steps(), batches(), cases=False, reproduction=tmp_path / "one")
    tensors = load_file(tmp_path / "one" / "tensors.safetensors")
    assert set(tensors) == {"param", "grad", "recorded.reference", "recorded.candidate"}
    assert torch.equal(tensors["param"], net()[1].weight.detach())


def test_what_is_equal_leaves_nothing(tmp_path):
    verdict = compare(*steps(candidate_lr=0.1), batches(), cases=False, reproduction=tmp_path / "one")
    assert verdict.reproduction == ""
    assert not (tmp_path / "one").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "one").mkdir()
    verdict = compare(*steps(), batches(), cases=False, reproduction=tmp_path / "one")
    assert verdict.reproduction == str(tmp_path / "one-2")
    assert list((tmp_path / "one").iterdir()) == []


def test_a_full_disk_does_not_lose_the_verdict(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainloop.files.operations, "fsync", full)
    verdict = compare(*steps(), batches(), cases=False, reproduction=tmp_path / "one")
    assert verdict.verdict == "different"
    assert verdict.reproduction == ""
    assert any("no space left to write" in remark for remark in verdict.remarks)
    assert list(tmp_path.iterdir()) == []


def test_the_automatic_folder_is_called_as_the_config():
    assert str(default_folder(Path("configs/quick.yaml"))).startswith("runs/compare-quick-20")
