"""A run is found by its path, its name, a beginning of it, or as the latest; else the nearest names are told."""

from __future__ import annotations

import os

import pytest

from trainloop.errors import UsageError
from trainloop.runs.naming import find_run


def make_latest(run):
    for file in run.iterdir():
        os.utime(file, (2e9, 2e9))


@pytest.mark.parametrize("text", ["runs/finished", "finished", "fin", "f"])
def test_a_path_a_name_and_a_beginning(runs, text):
    assert find_run(text).resolve() == runs / "finished"


@pytest.mark.parametrize("name", ["finished", "stopped"])
def test_the_latest_run(runs, name):
    make_latest(runs / name)
    (runs / "notes").mkdir()
    assert find_run("latest").name == name


def test_a_name_wins_over_a_longer_one(runs):
    (runs / "finished-2").mkdir()
    assert find_run("finished").name == "finished"


def test_a_beginning_of_several(runs):
    (runs / "finished-2").mkdir()
    with pytest.raises(UsageError, match="2 runs begin with this name") as caught:
        find_run("finish")
    assert caught.value.exit_code == 2
    assert {"finished", "finished-2"} <= set(caught.value.faults[0].expected.replace(",", "").split())


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("finsihed", "did you mean finished?"),
        ("stoped", "did you mean stopped?"),
        ("runs/stoppd", "did you mean stopped?"),
        ("zebra", "there are "),
        ("", "there are "),
        ("x" * 300, "there are "),
    ],
)
@pytest.mark.usefixtures("runs")
def test_an_unknown_name_has_the_nearest_ones(text, help):
    with pytest.raises(UsageError, match="there is no such run") as caught:
        find_run(text)
    assert caught.value.faults[0].help.startswith(help)
    assert caught.value.exit_code == 2


def test_nothing_there_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("latest", "x"):
        with pytest.raises(UsageError, match="there is no"):
            find_run(text)
