"""``trainloop runs`` as it looks: rows, sections, what is asked before something goes."""

from __future__ import annotations

import io
import json
import os
import shutil

import pytest
from rich.console import Console
from typer.testing import CliRunner

from trainloop.cli import runs as runs_command
from trainloop.cli.app import app
from trainloop.cli.runs_screen import age, print_list, shown
from trainloop.report.console import make_console
from trainloop.runs.overview import RunOverview, list_runs

RUNNER = CliRunner()


def output(*words, code=0, **options):
    done = RUNNER.invoke(app, ["runs", *map(str, words)], catch_exceptions=False, **options)
    assert done.exit_code == code
    return done.output


def set_ages(runs, **ages):
    for name, seconds in ages.items():
        for file in (runs / name).iterdir():
            os.utime(file, (2e9 - seconds, 2e9 - seconds))


def test_list(runs, monkeypatch):
    set_ages(runs, finished=7_200, stopped=300)
    monkeypatch.setattr("trainloop.cli.runs_screen.time.time", lambda: 2e9)
    head, stopped, finished = output("list").splitlines()
    assert head.split() == [
        *("run", "state", "mode", "model", "data", "step", "test", "time", "size", "last", "change")
    ]
    assert stopped.split()[:6] == ["stopped", "interrupted", "builtin", "small_cnn", "cifar10-mini", "8/12"]
    assert stopped.endswith("5 min ago")
    summary = json.loads((runs / "finished" / "summary.json").read_text())
    assert f"12/12  {100 * summary['test_accuracy']:.2f} %" in finished
    assert finished.endswith("2 h ago")
    assert output("list", runs) == output("list")


@pytest.mark.usefixtures("runs")
def test_list_as_json():
    facts = json.loads(output("list", "--json"))
    assert facts["folder"] == "runs"
    assert {row["name"]: row["state"] for row in facts["runs"]} == {"finished": "finished", "stopped": "interrupted"}
    assert {row["name"]: row["path"] for row in facts["runs"]}["stopped"] == "runs/stopped"


def test_nobody_has_trained_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output("list") == "no runs in runs; `trainloop train` makes one\n"
    assert json.loads(output("list", "--json")) == {"folder": "runs", "runs": []}
    assert output("clean") == "nothing to remove\n"


@pytest.mark.parametrize(
    ("width", "dropped"),
    [(200, set()), (110, {"size"}), (90, {"size", "time", "data"}), (60, {"size", "time", "data", "mode", "model"})],
)
def test_a_narrow_terminal_does_without_some_columns(runs, width, dropped):
    stream = io.StringIO()
    long = [RunOverview(runs / ("x" * 30), "no checkpoint", mode="builtin", model="small_cnn", dataset="cifar10-mini")]
    print_list([*list_runs(runs), *long], runs, Console(file=stream, width=width, force_terminal=True, no_color=True))
    head, *rows = stream.getvalue().splitlines()
    assert {name for name in ("size", "time", "data", "mode", "model") if f" {name}" not in head} >= dropped
    assert "test" in head
    assert len(rows) == 3
    plain = io.StringIO()
    console = make_console(live=False)
    console.file = plain
    print_list([*list_runs(runs), *long], runs, console)
    assert " size" in plain.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (59, "now"), (61, "1 min ago"), (7_199, "2 h ago"), (3 * 86_400, "3 d ago"), (1.8e9, "20,833 d ago")],
)
def test_ages(seconds, text):
    assert age(seconds) == text


def test_texts_are_cut_and_escaped():
    assert shown("a\nb\x1b") == "a\\nb\\x1b"
    assert shown("x" * 999, 10) == "x" * 9 + "…"


@pytest.mark.usefixtures("runs")
def test_show_an_unfinished_run():
    text = output("show", "stopped")
    for line in (
        "run folder  runs/stopped",
        "state       interrupted",
        "model       small_cnn · cifar10-mini · builtin",
        "  optimizer.lr: 0.1",
        "  data.val_size: 500",
        "  checkpoint.best: val_accuracy",
        "epoch  step",
        "step-00000006-end     6",
        "verified, best epoch",
        "to go on  trainloop train --config runs/stopped/config.yaml --run-dir runs/stopped",
    ):
        assert (line in text) == (line != "  optimizer.lr: 0.1"), line
    assert "over 8 steps" in text
    assert "test accuracy" not in text


def test_show_a_finished_run_and_its_json(runs):
    summary = json.loads((runs / "finished" / "summary.json").read_text())
    text = output("show", "finished")
    assert f"test accuracy {100 * summary['test_accuracy']:.2f} %, test loss {summary['test_loss']:.4f}\n" in text
    assert f"weights SHA-256 {summary['weights_sha256']}\n" in text
    assert "to go on" not in text
    facts = json.loads(output("show", "finished", "--json"))
    assert facts["results"] == summary
    assert [epoch["step"] for epoch in facts["epochs"]] == [6, 12]
    assert facts["command"] == ""


def test_show_says_where_a_run_was_taken_up_again(runs):
    summary = json.loads((runs / "finished" / "summary.json").read_text())
    places = [{"step": 3, "not_exact_because": []}, {"step": 5, "not_exact_because": ["threads was 1 and is 2"]}]
    (runs / "finished" / "summary.json").write_text(json.dumps({**summary, "resumed": places}))
    text = output("show", "finished")
    assert "after step 3, to the same bits; after step 5, not bit for bit, because threads was 1 and is 2" in text


def test_many_epochs_are_thinned_and_the_last_stays(runs):
    path = runs / "finished" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    epoch = json.loads(next(line for line in lines if '"epoch", "epoch"' in line))
    path.write_text("".join(f"{json.dumps({**epoch, 'epoch': n, 'step': n})}\n" for n in range(1, 101)))
    rows = [line.split() for line in output("show", "finished").splitlines()]
    shown_epochs = [int(row[0]) for row in rows if len(row) > 6 and row[0].isdigit() and row[0] == row[1]]
    assert shown_epochs[0] == 1
    assert shown_epochs[-1] == 100
    assert len(shown_epochs) <= 25


def test_diff(runs):
    shutil.copytree(runs / "finished", runs / "other")
    lines = (runs / "other" / "metrics.jsonl").read_text().splitlines(keepends=True)
    loss = json.loads(lines[4])["loss"]
    lines[4] = lines[4].replace(repr(loss), "2.5")
    (runs / "other" / "metrics.jsonl").write_text("".join(lines))
    text = output("diff", "finished", "other")
    assert "config: no key differs\n" in text
    assert f"metrics  what was measured differs first at step 5: loss {loss!r} in A, 2.5 in B\n" in text
    assert text.endswith("weights  the same bits\n")
    assert "the same to the bit, time fields aside: 15 lines" in output("diff", "finished", "runs/finished")
    text = output("diff", "finished", "stopped")
    assert "they are the same to the bit where both have them: 9 lines\n         6 lines are only in A\n" in text
    facts = json.loads(output("diff", "finished", "other", "--json"))
    assert facts["metrics"]["place"] == "step 5"
    assert facts["metrics"]["fields"] == [["loss", loss, 2.5]]
    assert facts["metrics"]["same"] is False


def test_clean_says_and_asks_and_removes(runs, monkeypatch):
    checkpoints = runs / "finished" / "checkpoints"
    before = sorted(checkpoints.iterdir())
    text = output("clean")
    assert "   --checkpoints  checkpoints of finished runs" in text
    assert "×" not in text
    text = output("clean", "--checkpoints")
    assert text.startswith("   option")
    assert "×  --checkpoints" in text
    assert text.endswith("nothing was removed; --yes removes what is marked with ×\n")
    monkeypatch.setattr(runs_command, "_confirmed", lambda: False)
    output("clean", "--checkpoints")
    assert sorted(checkpoints.iterdir()) == before
    assert "removed " in output("clean", "--checkpoints", "--yes")
    assert len(list(checkpoints.iterdir())) == 1
    monkeypatch.setattr(runs_command, "_confirmed", lambda: True)
    output("clean", "--best")
    assert not checkpoints.exists()
    assert output("clean") == "nothing to remove\n"


def test_clean_says_what_it_keeps(runs):
    (runs / "notes").mkdir()
    for number in range(30):
        (runs / f"note-{number}").mkdir()
    text = output("clean")
    assert "kept runs/note-0: no run: it holds nothing\n" in text
    assert text.endswith("  and 11 more\n")
    assert (runs / "notes").is_dir()
