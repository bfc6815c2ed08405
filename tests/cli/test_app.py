"""The command line as a stranger meets it: real processes, whole messages, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainloop import __version__
from trainloop.cli.app import app
from trainloop.cli.render import visible
from trainloop.cli.render_internal import internal_fault
from trainloop.cli.train import command_to_go_on

TINY = ["--set", "train.max_steps=2", "--set", "train.batch_size=8", "--set", "threads=1"]


def run(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "trainloop", *map(str, arguments)]
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**clean, **environment}, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def finished(folder):
    done = run("train", *TINY, "--run-dir", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def test_the_commands_are_pinned():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert names == {
        "train",
        "evaluate",
        "predict",
        "benchmark-conv",
        "compare-modes",
        "explain-conv",
        "explain-step",
        "verify-resume",
        "doctor",
        "models",
        "optimizers",
        "schedules",
        "rules",
    }
    assert groups == {"data", "config", "runs"}


def test_version(folder):
    assert run("--version", cwd=folder).stdout == f"trainloop {__version__}\n"


def test_train_prints_plain_lines_outside_a_terminal(finished):
    assert "\x1b" not in finished.stdout
    assert "model        small_cnn · 94,762 parameters\n" in finished.stdout
    assert "test accuracy " in finished.stdout
    assert finished.stdout.endswith("run folder: run\n")
    assert finished.stderr == ""


@pytest.mark.usefixtures("finished")
def test_evaluate_says_that_it_reproduces_the_run(folder):
    done = run("evaluate", "run", cwd=folder)
    assert done.returncode == 0
    assert "confusion matrix" in done.stdout
    assert done.stdout.endswith("the same as at the end of the run\n")


@pytest.mark.usefixtures("finished")
def test_evaluate_prints_json(folder):
    facts = json.loads(run("evaluate", "run", "--json", cwd=folder).stdout)
    assert facts["test_accuracy"] == facts["run_test_accuracy"]
    assert sum(map(sum, facts["confusion"])) == 500


@pytest.mark.usefixtures("finished")
def test_predict_names_each_image(folder):
    from PIL import Image

    Image.new("RGB", (32, 32), (10, 20, 200)).save(folder / "blue.png")
    done = run("predict", "run", "blue.png", "--top", "2", cwd=folder)
    head, row = done.stdout.splitlines()
    assert head.split() == ["image", "classes"]
    assert row.startswith("blue.png")
    assert row.count(" %") == 2


@pytest.mark.usefixtures("finished")
def test_a_second_run_in_a_folder_is_refused(folder):
    done = run("train", *TINY, "--run-dir", "run", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the run in this folder is finished")
    assert "Traceback" not in done.stderr


def test_json_progress_is_nothing_but_json(folder):
    done = run("train", *TINY, "--run-dir", "json", "--progress", "json", cwd=folder)
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events == ["start", "step", "step", "epoch", "checkpoint", "test", "end"]


def test_quiet_prints_nothing(folder):
    done = run("train", *TINY, "--run-dir", "quiet", "--quiet", "--mode", "manual", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_dry_run_estimates_and_leaves_nothing(folder):
    before = set(folder.iterdir())
    done = run("train", *TINY, "--dry-run", cwd=folder)
    assert done.returncode == 0, done.stderr
    for word in ("block1.0", "FLOPs", "memory", "time", "94,762 parameters", "for 2 steps"):
        assert word in done.stdout
    assert set(folder.iterdir()) == before


OPTIMIZER_NAMES = [
    "sgd",
    "adam",
    "adamw",
    "nadam",
    "radam",
    "adamax",
    "adagrad",
    "adadelta",
    "rmsprop",
    "rprop",
    "asgd",
    "adafactor",
    "muon",
]


def test_lists(folder):
    for command, names in (
        ("models", ("small_cnn", "resnet20", "resnet18", "speednet")),
        ("optimizers", OPTIMIZER_NAMES),
        ("schedules", ("constant", "cosine", "triangle", "one_cycle", "multistep")),
    ):
        lines = run(command, cwd=folder).stdout.splitlines()
        assert {line.split()[0] for line in lines if line} >= set(names)


def test_the_list_of_optimizers_shows_keys_and_defaults_as_a_config_has_them(folder):
    lines = {line.split()[0]: line for line in run("optimizers", cwd=folder).stdout.splitlines()}
    assert lines["sgd"].endswith("  lr 0.1, momentum 0.9, dampening 0.0, nesterov false, weight_decay 0.0")
    assert lines["rprop"].endswith("  lr 0.01, etas [0.5, 1.2], step_sizes [1e-06, 50.0]")
    assert "eps [null, 0.001], d 1.0" in lines["adafactor"]


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (["--device", "cuda"], 2, ["device cuda is not there", "auto, cpu"]),
        (["--device", "gpu"], 2, ["--device gpu", "gpu"]),
        (["--mode", "manul"], 2, ["did you mean `manual`?"]),
        (["--set", "model.name=small_cn"], 2, ["there is no model of this name", "small_cnn"]),
        (["--set", "model.name=net.py:Net"], 2, ["net.py", "--plugin"]),
        (["--plugin", "missing.py"], 2, ["--plugin", "missing.py", "does not exist"]),
        (["--set", "train.precision=fp16"], 2, ["fp16 training does not work on cpu", "fp32 or bf16"]),
        (["--set", "stages.backward=manual"], 2, ["forward", "backward"]),
        (["--config", "missing.yaml"], 2, ["missing.yaml"]),
        (["--config", "."], 2, ["folder"]),
        (["--set", "data.dataset=folder", "--set", "data.path=nowhere"], 3, ["nowhere"]),
        (
            ["--set", "data.dataset=cifar10", "--set", "data.path=nowhere", "--set", "data.fetch=false"],
            3,
            ["data fetch"],
        ),
        (["--set", "model.weights=w.safetensors"], 4, ["w.safetensors"]),
        (["--set", "data.val_size=2000"], 2, ["data.val_size"]),
        (["--set", "optimizer.lr=1e30", "--set", "train.max_steps=30"], 5, ["a value is not finite", "step "]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_mistakes_get_one_clear_message(tmp_path, arguments, code, texts):
    done = run("train", *TINY, *arguments, "--run-dir", "r", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "error" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr
    if code != 5:
        assert not (tmp_path / "r").exists()


def test_debug_shows_the_traceback(tmp_path):
    done = run("train", "--debug", "--device", "cuda", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert "DeviceError" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_one_message(tmp_path, number, code):
    command = [sys.executable, "-m", "trainloop", "train", "--set", "train.epochs=1000", "--run-dir", "r"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "r" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.startswith("error: interrupted by ")
    assert ", saved" in errors
    assert "to go on: trainloop train" in errors
    assert "--run-dir r" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "r" / "summary.json").exists()


def test_a_closed_pipe_is_no_traceback(folder):
    command = f"{sys.executable} -m trainloop models | head -1"
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_terminal_without_utf_8_gets_question_marks_instead_of_a_crash(folder):
    done = run("train", *TINY, "--dry-run", cwd=folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "small_cnn ? 94,762 parameters" in done.stdout


def test_control_characters_of_a_file_cannot_steer_the_terminal():
    assert visible("a\x1b[31m\x9bb\nc") == "a\\x1b[31m\\x9bb\nc"


def test_an_internal_error_names_its_place_and_asks_for_a_report():
    try:
        {}["missing"]
    except KeyError as error:
        fault = internal_fault(error)
    assert "fault of trainloop" in fault.what
    assert "test_app.py" in fault.where
    assert fault.found == "KeyError: 'missing'"
    assert "--debug" in fault.help


@pytest.mark.parametrize(
    "arguments",
    ["--quiet --resume none", "--quiet --run-dir old --resume=auto", "--quiet"],
)
def test_the_command_to_go_on_names_the_folder_and_nothing_that_begins_anew(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["trainloop", "train", *arguments.split()])
    assert command_to_go_on(Path("a run")) == "trainloop train --quiet --run-dir 'a run'"
