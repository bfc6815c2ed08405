"""The row of a run says what is so, newest first, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from trainloop.errors import UsageError
from trainloop.files import one_writer
from trainloop.runs.overview import list_runs, look_at


def test_a_finished_run(runs):
    row = look_at(runs / "finished")
    summary = json.loads((runs / "finished" / "summary.json").read_text())
    assert (row.state, row.note, row.mode, row.model) == ("finished", "", "builtin", "small_cnn")
    assert (row.dataset, row.step, row.total_steps) == ("cifar10-mini", 12, 12)
    assert (row.test_accuracy, row.seconds) == (summary["test_accuracy"], summary["seconds"])
    files = [path for path in (runs / "finished").rglob("*") if path.is_file()]
    assert row.bytes == sum(path.stat().st_size for path in files)


def test_an_interrupted_run(runs):
    row = look_at(runs / "stopped")
    assert (row.state, row.note, row.step, row.total_steps) == ("interrupted", "", 8, 12)
    assert (row.mode, row.model, row.dataset, row.test_accuracy) == ("builtin", "small_cnn", "cifar10-mini", None)


def test_a_running_run_names_its_process(runs):
    with one_writer(runs / "stopped"):
        row = look_at(runs / "stopped")
        assert (row.state, row.step, row.total_steps) == ("running", 8, 12)
        assert row.note.startswith(f"process {os.getpid()} on ")
    assert look_at(runs / "stopped").state == "interrupted"


def test_looking_takes_no_lock_from_anybody(runs):
    for _ in range(20):
        look_at(runs / "stopped")
        with one_writer(runs / "stopped"):
            pass


def test_a_run_without_a_checkpoint(runs):
    shutil.rmtree(runs / "stopped" / "checkpoints")
    row = look_at(runs / "stopped")
    assert (row.state, row.step, row.total_steps) == ("no checkpoint", 8, 12)


def test_the_furthest_checkpoint_that_is_whole_counts(runs):
    (runs / "stopped" / "checkpoints" / "step-00000008" / "tensors.safetensors").write_bytes(b"half")
    row = look_at(runs / "stopped")
    assert (row.state, row.step) == ("interrupted", 6)
    assert "passed over step-00000008: tensors.safetensors: 4 bytes" in row.note


def test_the_run_that_wrote_last_comes_first(runs):
    for age, name in enumerate(("b", "finished", "a", "stopped")):
        if not (runs / name).exists():
            shutil.copytree(runs / "stopped", runs / name)
        for file in (runs / name).iterdir():
            os.utime(file, (2e9 - age, 2e9 - age))
    assert [row.path.name for row in list_runs(runs)] == ["b", "finished", "a", "stopped"]


def test_a_run_folder_is_its_own_list(runs):
    assert [row.path for row in list_runs(runs / "stopped")] == [runs / "stopped"]


def test_a_folder_that_is_not_there_or_is_a_file_is_refused(runs):
    with pytest.raises(UsageError, match="there is no such folder"):
        list_runs(runs / "nothing")
    with pytest.raises(UsageError, match="this is a file, not a folder of runs"):
        list_runs(runs / "finished" / "env.json")


def test_listing_showing_comparing_and_cleaning_load_nothing_heavy(runs):
    code = (
        "import sys; from typer.testing import CliRunner; from trainloop.cli.runs import app\n"
        "for words in (['list'], ['show', 'latest'], ['diff', 'finished', 'stopped'], ['clean', '--checkpoints', '-y']):\n"
        "    done = CliRunner().invoke(app, words); assert done.exit_code == 0, done.output\n"
        "print([name for name in ('torch', 'numpy', 'safetensors', 'matplotlib', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=runs.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
