"""``trainloop explain-step`` as a stranger meets it: real processes, whole messages, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app

ROOT = Path(__file__).parents[2]

CONFIG = """\
threads: 1
model: {name: small_cnn, args: {width: 4}}
train: {max_steps: 3, batch_size: 8}
"""


def run(*arguments, cwd):
    command = [sys.executable, "-m", "trainloop", "explain-step", *map(str, arguments)]
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=clean, timeout=300, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("work")
    (made / "run.yaml").write_text(CONFIG, encoding="utf-8")
    (made / "half.yaml").write_text(CONFIG.replace("batch_size: 8", "precision: bf16"), encoding="utf-8")
    return made


def test_without_a_config_the_built_in_example_is_explained(folder):
    done = run(cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("step 1 of the built-in example TinyNet")
    assert "first.weight[0, 0]: 1 → 0.8   builtin: same bits" in done.stdout


def test_with_a_config_the_real_model_meets_a_real_batch(folder):
    done = run("--config", "run.yaml", "--param", "block2.0.*", "--index", "1,0,2,2", "--step", "3", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("step 3 of small_cnn on cifar10-mini · batch 8×3×32×32 · cpu")
    assert "block2.0.weight[1, 0, 2, 2]" in done.stdout
    for rule in ("cross_entropy", "linear", "mean", "relu", "batch_norm", "conv2d"):
        assert f"\n    {rule} " in done.stdout
    assert "all 11 gradients: same bits as builtin" in done.stdout
    assert "all 11 parameters: same bits as builtin" in done.stdout


def test_the_mode_of_a_config_makes_no_difference(folder):
    (folder / "manual.yaml").write_text(CONFIG + "mode: manual\nstages: {step: builtin}\n", encoding="utf-8")
    texts = {run("--config", f"{name}.yaml", cwd=folder).stdout for name in ("run", "manual")}
    assert len(texts) == 1


def test_json_alone_is_nothing_but_json(folder):
    done = run("--config", "run.yaml", "--json", "-", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["subject"]["name"] == "small_cnn"
    assert facts["step"]["after"]["same_bits"] is True


def test_json_in_a_file_comes_beside_the_page(folder):
    done = run("--set", "optimizer.name=adamw", "--json", "facts.json", cwd=folder)
    assert done.stdout.startswith("step 1 of the built-in example")
    assert done.stdout.endswith("\nwritten: facts.json\n")
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8"))["subject"]["optimizer"] == "adamw"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (
            ["--param", "frist.weight"],
            ["the model has no such parameter", "frist.weight", "did you mean `first.weight`?"],
        ),
        (["--index", "2,0"], ["first.weight has no such element", "2,0", "(2, 2)"]),
        (["--step", "0"], ["the run has no such step", "--step", "found     0", "1 or more"]),
        (["--set", "model.name=resnet18"], ["model.name means nothing to the built-in example", "--config FILE"]),
        (["--device", "cpu"], ["device means nothing to the built-in example"]),
        (["--set", "optimizer.name=adm"], ["did you mean", "adam"]),
        (["--config", "run.yaml", "--step", "4"], ["the run has no such step", "--step", "found     4", "1 to 3"]),
        (["--config", "half.yaml"], ["train.precision bf16 needs builtin"]),
    ],
    ids=" ".join,
)
def test_mistakes_get_one_clear_message(folder, arguments, texts):
    done = run(*arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr


def test_a_file_that_cannot_be_written_is_a_message(folder):
    (folder / "taken").write_text("", encoding="utf-8")
    done = run("--json", "taken/facts.json", cwd=folder)
    assert done.returncode == 6
    assert "facts.json" in done.stderr


def commands_of_the_docs():
    block = (ROOT / "docs" / "explain-step.md").read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.mark.parametrize("arguments", commands_of_the_docs(), ids=" ".join)
def test_the_commands_of_the_docs_run(monkeypatch, arguments):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception
    assert "What people get wrong" in done.stdout
