"""What ``runs show`` computes: the keys that differ, checkpoints verified, and a command that does go on."""

from __future__ import annotations

import json
import shlex

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.config import dump_yaml
from trainloop.config.schema import RunConfig
from trainloop.runs import details as details_module
from trainloop.runs.details import changed_keys, command_to_go_on, read_details


def test_the_keys_that_differ(runs):
    details = read_details(runs / "stopped")
    assert details.config == {
        "threads": 1,
        "data.val_size": 500,
        "model.args.width": 4,
        "train.epochs": 2,
        "train.max_steps": 12,
        "train.batch_size": 250,
        "train.ema_decay": 0.9,
        "checkpoint.every": "never",
        "checkpoint.best": "val_accuracy",
    }


def test_the_defaults_of_another_optimizer_are_its_own():
    config = RunConfig.model_validate_json('{"optimizer": {"name": "adamw", "lr": 0.5}}')
    assert changed_keys(config) == {"optimizer.name": "adamw", "optimizer.lr": 0.5}
    assert changed_keys(RunConfig()) == {}
    stepped = RunConfig.model_validate_json('{"schedule": {"name": "multistep", "milestones": [3]}}')
    assert changed_keys(stepped) == {"schedule.name": "multistep", "schedule.milestones": [3.0]}


def test_checkpoints_are_verified(runs):
    rows = read_details(runs / "stopped").checkpoints
    assert [(row.name, row.step, row.problem, row.is_best) for row in rows] == [
        ("step-00000008", 8, "", False),
        ("step-00000006-end", 6, "", True),
    ]


def flip_a_bit(runs):
    path = runs / "stopped" / "checkpoints" / "step-00000008" / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found(runs):
    flip_a_bit(runs)
    newest, best = read_details(runs / "stopped").checkpoints
    assert newest.problem.startswith("tensors.safetensors: SHA-256 ")
    assert (newest.step, best.problem, best.is_best) == (None, "", True)


def test_a_look_at_the_sizes_alone_would_not_find_it(runs, monkeypatch):
    """The negative control of the verification."""
    flip_a_bit(runs)
    real = details_module.verify
    monkeypatch.setattr(
        details_module,
        "verify",
        lambda path: {"state.json": (path / "state.json").read_bytes()} if path else real(path),
    )
    assert [row.problem for row in read_details(runs / "stopped").checkpoints] == ["", ""]


def test_the_command_goes_on_with_the_run(runs):
    details = read_details(runs / "stopped")
    words = shlex.split(details.command)
    assert words[0] == "trainloop"
    done = CliRunner().invoke(app, [*words[1:], "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    after, whole = read_details(runs / "stopped"), read_details(runs / "finished")
    assert after.resumed == ((8, ()),)
    assert after.command == ""
    assert after.results["weights_sha256"] == whole.results["weights_sha256"]


@pytest.mark.parametrize(
    ("model", "conv", "plugins"),
    [
        ("small_cnn", "aten", []),
        ("my nets/a.py:Net", "aten", ["my nets/a.py"]),
        ("small_cnn", "winograd,k.py:f", ["k.py"]),
    ],
)
def test_the_command_names_the_files_of_ones_own(tmp_path, model, conv, plugins):
    config = RunConfig.model_validate_json(
        json.dumps({"mode": "manual", "model": {"name": model}, "stages": {"conv": conv}})
    )
    words = shlex.split(command_to_go_on(tmp_path / "a run", config))
    folder = str(tmp_path / "a run")
    assert words[:6] == ["trainloop", "train", "--config", f"{folder}/config.yaml", "--run-dir", folder]
    assert [word for word in words[6:] if word != "--plugin"] == plugins


def test_a_config_of_another_version_is_said(runs):
    text = dump_yaml(RunConfig()).replace("seed: 0", "seed: 0\nfrom_the_future: 1")
    (runs / "stopped" / "config.yaml").write_text(text)
    details = read_details(runs / "stopped")
    assert details.config_problem.startswith("config.yaml: unknown key `from_the_future`")
    assert details.command == ""


def test_the_course(runs):
    course = read_details(runs / "finished").course
    assert list(course.steps) == list(range(1, 13))
    assert [epoch["step"] for epoch in course.epochs] == [6, 12]
    assert course.test is not None
    assert course.problem == ""
    path = runs / "finished" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    spoilt = read_details(runs / "finished").course
    assert spoilt.problem == "line 15 has no end"
    assert (len(spoilt.losses), spoilt.test) == (12, None)
