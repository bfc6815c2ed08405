"""The run folder: names, refusals, and what is left of a run that never began."""

from __future__ import annotations

import json
import re

import pytest

from trainloop.errors import UsageError
from trainloop.report.run_folder import RunFolder, as_json, open_run_folder


def test_an_automatic_folder_is_named_after_the_config_and_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_run_folder(None, "quick-builtin") as folder:
        folder.write_config("a: 1\n")
        assert re.fullmatch(r"runs/quick-builtin-\d{8}-\d{6}", str(folder.path))


def test_automatic_folders_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = set()
    for _ in range(5):
        with open_run_folder(None, "r") as folder:
            folder.write_config("a: 1\n")
            paths.add(folder.path)
    assert len(paths) == 5


def test_a_folder_with_a_run_is_refused(tmp_path):
    with open_run_folder(tmp_path / "r", "") as folder:
        folder.write_summary({"steps": 1})
    with (
        pytest.raises(UsageError, match="the run in this folder is finished") as caught,
        open_run_folder(tmp_path / "r", ""),
    ):
        pytest.fail("opened twice")
    assert "found: summary.json" in str(caught.value)
    assert "choose another --run-dir" in str(caught.value)


def test_an_unfinished_run_is_called_so(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UsageError, match="holds an unfinished run already"), open_run_folder(tmp_path, ""):
        pytest.fail("opened")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "r").write_text("")
    with pytest.raises(UsageError, match="the run folder is a file"), open_run_folder(tmp_path / "r", ""):
        pytest.fail("opened a file")


def test_a_folder_that_stays_empty_goes_again(tmp_path):
    with pytest.raises(RuntimeError, match="no data"), open_run_folder(tmp_path / "r", ""):
        raise RuntimeError("no data")
    assert not (tmp_path / "r").exists()


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "r").mkdir()
    with open_run_folder(tmp_path / "r", ""):
        pass
    assert (tmp_path / "r").is_dir()


def test_json_keeps_full_precision_and_refuses_nan(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_summary({"loss": 0.1 + 0.2})
    assert json.loads((tmp_path / "summary.json").read_text())["loss"] == 0.1 + 0.2
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"loss": float("nan")})
