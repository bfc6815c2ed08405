"""Folders that are half written, damaged, or hostile: each gets its row, and nothing steers the terminal."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from trainloop.cli.runs import app
from trainloop.errors import TrainloopError
from trainloop.runs import overview

RUNNER = CliRunner()
HOSTILE = "\x1b]0;owned\x07\x9b31m[bold red]\u202e\u2028"


def put(run, name, content):
    (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def change(run, name, **changes):
    put(run, name, json.dumps({**json.loads((run / name).read_text()), **changes}))


def link(run, name, target):
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    else:
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)


def instead(run, name):
    """Put a folder in the place of a file."""
    (run / name).unlink()
    (run / name).mkdir()


def huge(run, name):
    """Make a file that has holes for content."""
    with (run / name).open("wb") as stream:
        stream.truncate(2**40)


def pipe(run, name):
    (run / name).unlink()
    os.mkfifo(run / name)


def in_checkpoints(run, act):
    for folder in (run / "checkpoints").iterdir():
        act(folder)


def empty(run):
    shutil.rmtree(run)
    run.mkdir()


NEWEST = "checkpoints/step-00000008"
VARIANTS = {
    # of a run that ended: what is done to it, and the state and the words that its row must have
    "summary empty": ("finished", lambda r: put(r, "summary.json", ""), "damaged", "summary.json: Expecting value"),
    "summary cut": ("finished", lambda r: put(r, "summary.json", '{"mode": "bui'), "damaged", "summary.json: "),
    "summary a list": ("finished", lambda r: put(r, "summary.json", "[1]"), "damaged", "summary.json: a list"),
    "summary no UTF-8": ("finished", lambda r: put(r, "summary.json", b'{"a": "\xff"}'), "damaged", "utf-8"),
    "summary of wrong types": (
        "finished",
        lambda r: change(r, "summary.json", steps="9"),
        "damaged",
        "steps is missing",
    ),
    "summary negative": ("finished", lambda r: change(r, "summary.json", steps=-1), "damaged", "steps is missing"),
    "summary boolean": ("finished", lambda r: change(r, "summary.json", seconds=True), "damaged", "seconds is missing"),
    "summary NaN": ("finished", lambda r: change(r, "summary.json", test_accuracy=float("nan")), "damaged", "test_acc"),
    "summary beyond floats": ("finished", lambda r: change(r, "summary.json", seconds=10**400), "damaged", "seconds"),
    "summary null": ("finished", lambda r: change(r, "summary.json", model=None), "damaged", "model is missing"),
    "summary deep": ("finished", lambda r: put(r, "summary.json", '{"a":' * 50_000), "damaged", "summary.json: "),
    "summary 30 levels": (
        "finished",
        lambda r: put(r, "summary.json", '{"a":' * 30 + "1" + "}" * 30),
        "damaged",
        "more than 20 levels",
    ),
    "summary huge": ("finished", lambda r: huge(r, "summary.json"), "damaged", "1,099,511,627,776 bytes"),
    "summary a long number": ("finished", lambda r: put(r, "summary.json", "9" * 9_999), "damaged", "summary.json: "),
    "summary a folder": ("finished", lambda r: instead(r, "summary.json"), "damaged", "summary.json: a folder"),
    "summary a link": ("finished", lambda r: link(r, "summary.json", "/dev/zero"), "damaged", "summary.json: a link"),
    "summary a loop": ("finished", lambda r: link(r, "summary.json", "summary.json"), "damaged", "a link"),
    "summary a pipe": ("finished", lambda r: pipe(r, "summary.json"), "damaged", "summary.json: a device"),
    "weights missing": ("finished", lambda r: (r / "weights.safetensors").unlink(), "damaged", "No such file"),
    "weights cut": ("finished", lambda r: os.truncate(r / "weights.safetensors", 900), "damaged", "900 bytes"),
    "weights empty": ("finished", lambda r: put(r, "weights.safetensors", b""), "damaged", "without a header"),
    "weights of zeros": ("finished", lambda r: put(r, "weights.safetensors", bytes(99)), "damaged", "no header"),
    "weights of a huge header": (
        "finished",
        lambda r: put(r, "weights.safetensors", b"\xff" * 99),
        "damaged",
        "without a header",
    ),
    "weights of a mad header": (
        "finished",
        lambda r: put(r, "weights.safetensors", (7).to_bytes(8, "little") + b'{"a":3}'),
        "damaged",
        "no header",
    ),
    "hostile names in the summary": (
        "finished",
        lambda r: change(r, "summary.json", model=HOSTILE, dataset="[link=file:///]x"),
        "finished",
        "",
    ),
    "environment missing": ("finished", lambda r: (r / "env.json").unlink(), "finished", ""),
    # of a run that was stopped
    "manifest missing": ("stopped", lambda r: (r / NEWEST / "MANIFEST.json").unlink(), "interrupted", "passed over"),
    "manifest of wrong types": (
        "stopped",
        lambda r: change(r / NEWEST, "MANIFEST.json", files=[]),
        "interrupted",
        "passed over step-00000008: MANIFEST.json: files:",
    ),
    "manifest of other files": (
        "stopped",
        lambda r: change(r / NEWEST, "MANIFEST.json", files={"../../x": {"bytes": 1, "sha256": "0" * 64}}),
        "interrupted",
        "MANIFEST.json: files ../../x",
    ),
    "state of another step": (
        "stopped",
        lambda r: (r / NEWEST).rename(r / "checkpoints/step-00000099"),
        "interrupted",
        "the checkpoint step-00000008 under another name",
    ),
    "all checkpoints empty": (
        "stopped",
        lambda r: in_checkpoints(r, empty),
        "damaged",
        "no checkpoint is whole: step-00000008: MANIFEST.json: No such file",
    ),
    "checkpoint a link": (
        "stopped",
        lambda r: link(r, f"{NEWEST}/state.json", "/dev/zero"),
        "interrupted",
        "state.json: a link",
    ),
    "checkpoints a file": (
        "stopped",
        lambda r: (shutil.rmtree(r / "checkpoints"), put(r, "checkpoints", "")),
        "no checkpoint",
        "",
    ),
    "lock a link": ("stopped", lambda r: link(r, ".lock", "/etc/passwd"), "damaged", ".lock: a link"),
    "lock a folder": ("stopped", lambda r: instead(r, ".lock"), "damaged", ".lock: a folder"),
    # of a run that was killed before its first checkpoint
    "config wrong": ("killed", lambda r: put(r, "config.yaml", "seeed: 1"), "damaged", "unknown key `seeed`"),
    "config binary": ("killed", lambda r: put(r, "config.yaml", b"\x00\xff"), "damaged", "config.yaml: "),
    "config deep": ("killed", lambda r: put(r, "config.yaml", "[" * 500), "damaged", "config.yaml: "),
    "config a folder": ("killed", lambda r: instead(r, "config.yaml"), "damaged", "config.yaml: a folder"),
    "config missing": ("killed", lambda r: (r / "config.yaml").unlink(), "no checkpoint", ""),
    "config hostile": ("killed", lambda r: put(r, "config.yaml", f"model: {{name: '{HOSTILE}'}}"), "damaged", ""),
    "metrics mad": ("killed", lambda r: put(r, "metrics.jsonl", b"\xff\x00{[\n" * 99), "no checkpoint", ""),
    "metrics deep": ("killed", lambda r: put(r, "metrics.jsonl", "[" * 90_000), "no checkpoint", ""),
    "metrics huge": ("killed", lambda r: huge(r, "metrics.jsonl"), "no checkpoint", ""),
    "metrics a folder": ("killed", lambda r: instead(r, "metrics.jsonl"), "no checkpoint", ""),
    "environment mad": ("killed", lambda r: put(r, "env.json", '{"data": {"train_images": "x"}}'), "no checkpoint", ""),
    "environment negative": (
        "killed",
        lambda r: put(r, "env.json", '{"data": {"train_images": -5}}'),
        "no checkpoint",
        "",
    ),
    # no run at all
    "empty folder": ("finished", empty, "no run", "holds nothing"),
    "somebody else's": ("finished", lambda r: (empty(r), put(r, "thesis.tex", "")), "no run", "holds thesis.tex"),
    "names that no text has": (
        "finished",
        lambda r: (empty(r), put(r, os.fsdecode(b"\xff\x9b"), "")),
        "no run",
        "\\udcff",
    ),
    "names that steer": ("finished", lambda r: (empty(r), put(r, "\x1b[2J\n", "")), "no run", "\\x1b[2J\\n"),
}


@pytest.fixture
def killed(runs):
    shutil.copytree(runs / "stopped", runs / "killed")
    shutil.rmtree(runs / "killed" / "checkpoints")
    return runs


def assert_harmless(text):
    bad = {
        char for char in text if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202e\u2028")
    }
    assert bad == set()


def assert_row(runs, kind, spoil, state, words):
    spoil(runs / kind)
    done = RUNNER.invoke(app, ["list"], catch_exceptions=False)
    assert done.exit_code == 0
    assert_harmless(done.output)
    (row,) = (row for row in overview.list_runs(runs) if row.path.name == kind)
    assert row.state == state, row.note
    (line,) = (line for line in done.output.splitlines() if line.startswith(f"{kind} "))
    assert words in line


@pytest.mark.parametrize("name", VARIANTS)
def test_each_has_its_row(killed, name):
    assert_row(killed, *VARIANTS[name])


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name not in (".owner", ".lock"))


@pytest.mark.parametrize("name", VARIANTS)
def test_each_can_be_shown_and_compared_and_cleaning_loses_nothing(killed, name):
    kind, spoil, state, _ = VARIANTS[name]
    spoil(killed / kind)
    before = names_in(killed / kind)
    for words in (
        ["list", "--json"],
        ["show", kind],
        ["show", kind, "--json"],
        ["diff", "finished", kind],
        ["diff", kind, "stopped", "--json"],
        ["clean", "--empty", "--checkpoints", "--best", "--yes"],
    ):
        done = RUNNER.invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0
        assert_harmless(done.output)
        if "--json" in words:
            json.loads(done.output)
    if state not in ("finished", "no checkpoint"):
        assert names_in(killed / kind) == before


def test_a_reader_that_trusts_what_it_reads_fails_this_test(killed, monkeypatch):
    """The negative control: an own reader without limits and checks does not get through the variants."""
    monkeypatch.setattr(overview, "read_json", lambda path: json.loads(path.read_text()))
    failed = 0
    for name in ("summary a list", "summary empty", "summary deep", "summary 30 levels", "summary a folder"):
        shutil.rmtree(killed / "finished")
        shutil.copytree(killed / "stopped", killed / "finished")
        (killed / "finished" / "summary.json").write_text("{}")
        try:
            assert_row(killed, *VARIANTS[name])
        except (AssertionError, AttributeError, ValueError, OSError, RecursionError):
            failed += 1
    assert failed == 5


def test_a_row_that_is_printed_as_it_is_fails_this_test(killed, monkeypatch):
    """The negative control of the escapes."""
    monkeypatch.setattr("trainloop.cli.runs_screen.visible", lambda text: text)
    with pytest.raises(AssertionError):
        assert_row(killed, *VARIANTS["names that steer"])


def test_hostile_names_of_run_folders_are_escaped(killed):
    (killed / HOSTILE.replace("/", "")).mkdir()
    (killed / os.fsdecode(b"\xff\xfe")).mkdir()
    done = RUNNER.invoke(app, ["list"], catch_exceptions=False)
    assert_harmless(done.output)
    assert "\\x1b]0;owned\\x07\\x9b31m[bold red]\\u202e\\u2028" in done.output
    assert "\\udcff\\udcfe" in done.output
    names = {row["name"] for row in json.loads(RUNNER.invoke(app, ["list", "--json"]).output)["runs"]}
    assert HOSTILE in names
    with pytest.raises(TrainloopError) as caught:
        RUNNER.invoke(app, ["show", "finishd"], catch_exceptions=False)
    assert "did you mean finished?" in str(caught.value)
