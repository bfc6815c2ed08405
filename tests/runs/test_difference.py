"""``runs diff``: what two runs do not share, and the first step at which their metrics do not."""

from __future__ import annotations

import json
import shutil

import pytest

from trainloop.runs import metrics as metrics_module
from trainloop.runs.difference import compare_runs
from trainloop.runs.metrics import first_difference, read_course

LINES = 15
"""of the finished run: 12 steps, 2 epochs, the test"""


def edit(path, number, **changes):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[number] = {**lines[number], **changes}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.fixture
def twin(runs):
    shutil.copytree(runs / "finished", runs / "twin")
    return runs / "twin"


def compared(runs, twin):
    return first_difference(runs / "finished" / "metrics.jsonl", twin / "metrics.jsonl")


def test_a_run_is_like_itself(runs, twin):
    for number in range(LINES):
        edit(twin / "metrics.jsonl", number, seconds=99.0)
    difference = compare_runs(runs / "finished", twin)
    assert (difference.config, difference.facts, difference.problems) == ((), (), ())
    assert difference.metrics.same
    assert (difference.metrics.compared, difference.same_weights) == (LINES, True)
    assert all(pair.a == pair.b for pair in difference.results)


@pytest.mark.parametrize("number", range(LINES))
def test_one_changed_value_is_found_where_it_is(runs, twin, number):
    path = twin / "metrics.jsonl"
    facts = json.loads(path.read_text().splitlines()[number])
    name = {"step": "loss", "epoch": "val_loss", "test": "test_loss"}[facts["event"]]
    changed = facts[name] * (1 + 2e-16)
    assert changed != facts[name]
    edit(path, number, **{name: changed})
    found = compared(runs, twin)
    assert found.fields == ((name, facts[name], changed),)
    place = {"step": f"step {facts.get('step')}", "epoch": f"the end of epoch {facts.get('epoch')}", "test": "the test"}
    assert (found.place, found.compared) == (place[facts["event"]], number + 1)


def test_a_comparison_that_rounds_fails_this_test(runs, twin, monkeypatch):
    """The negative control: with four decimals a changed last bit is not found."""
    monkeypatch.setattr(
        metrics_module, "repr", lambda value: f"{value:.4f}" if isinstance(value, float) else str(value), raising=False
    )
    with pytest.raises(AssertionError):
        test_one_changed_value_is_found_where_it_is(runs, twin, 6)


def test_the_sign_of_a_zero_counts(runs, twin):
    edit(runs / "finished" / "metrics.jsonl", 3, loss=0.0)
    edit(twin / "metrics.jsonl", 3, loss=-0.0)
    assert compared(runs, twin).fields == (("loss", 0.0, -0.0),)


def test_the_lr_is_told_apart_from_what_was_measured(runs, twin):
    for number in (1, 2, 3):
        edit(twin / "metrics.jsonl", number, lr=0.5)
    found = compared(runs, twin)
    lr = json.loads((runs / "finished" / "metrics.jsonl").read_text().splitlines()[1])["lr"]
    assert (found.lr, found.place, found.compared, found.same) == (("step 2", lr, 0.5), "", LINES, False)
    edit(twin / "metrics.jsonl", 4, loss=9.0)
    found = compared(runs, twin)
    assert (found.lr, found.place) == (("step 2", lr, 0.5), "step 5")
    assert [name for name, _, _ in found.fields] == ["loss"]


def test_lines_that_only_one_run_has(runs, twin):
    path = twin / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(
        "".join(line for line in lines if json.loads(line)["event"] != "step" or json.loads(line)["step"] % 3 == 0)
    )
    found = compared(runs, twin)
    assert (found.place, found.compared, found.only_a, found.only_b) == ("", LINES - 8, 8, 0)
    assert not found.same


def test_a_stopped_run_has_the_same_beginning(runs):
    difference = compare_runs(runs / "finished", runs / "stopped")
    assert difference.metrics.place == ""
    assert (difference.metrics.compared, difference.metrics.only_a, difference.metrics.only_b) == (9, 6, 0)
    assert difference.same_weights is None
    assert {pair.name for pair in difference.results} >= {"test_accuracy", "final_train_loss"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", None),
        (b"{}\n", "line 1 is none of a step, an epoch or the test"),
        (
            b'{"event": "step", "step": 20}\n{"event": "step", "step": 3}\n',
            "line 2 does not come after the one before it",
        ),
        (b'{"event": "step", "step": [1]}\n', "line 1 holds more than plain values"),
        (b'{"event": ["step"]}\n', "line 1 is none"),
        (b"1" * 200_000, "line 1 has no end"),
    ],
)
def test_files_that_are_none(runs, twin, content, problem):
    (twin / "metrics.jsonl").write_bytes(content)
    found = compared(runs, twin)
    assert not found.same
    assert (problem is None) == (found.problem == "")
    assert (problem or "") in found.problem


def test_keys_facts_and_weights_that_differ(runs, twin):
    text = (twin / "config.yaml").read_text()
    (twin / "config.yaml").write_text(text.replace("lr: 0.1", "lr: 0.05").replace("seed: 0", "seed: 3"))
    environment = json.loads((twin / "env.json").read_text())
    environment["versions"]["torch"] = "9.9"
    (twin / "env.json").write_text(json.dumps(environment))
    summary = json.loads((twin / "summary.json").read_text())
    (twin / "summary.json").write_text(json.dumps({**summary, "weights_sha256": "0" * 64, "test_loss": 1.5}))
    difference = compare_runs(runs / "finished", twin)
    assert [(pair.name, pair.a, pair.b) for pair in difference.config] == [("seed", 0, 3), ("optimizer.lr", 0.1, 0.05)]
    assert [(pair.name, pair.b) for pair in difference.facts] == [("versions.torch", "9.9")]
    assert difference.same_weights is False
    assert [pair.name for pair in difference.results if pair.a != pair.b] == ["test_loss"]


def test_what_cannot_be_read_is_said_and_left_out(runs, twin):
    (twin / "config.yaml").write_text("seeed: 1")
    (twin / "env.json").unlink()
    difference = compare_runs(runs / "finished", twin)
    assert [problem.partition(": ")[2].partition(":")[0] for problem in difference.problems] == [
        "config.yaml",
        "env.json",
    ]
    assert difference.metrics.same


def test_a_step_that_was_skipped_in_one_run_is_a_difference_there(runs, twin):
    path = twin / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    number = next(number for number, line in enumerate(lines) if line["event"] == "step" and line["step"] == 4)
    lines[number] = {
        **{key: lines[number][key] for key in ("step", "epoch", "lr")},
        **{"event": "nonfinite", "stage": "loss", "tensor": "the loss", "found": "nan", "images": [3, 1]},
        "skipped": True,
    }
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = compared(runs, twin)
    assert (found.problem, found.place) == ("", "step 4")
    assert ("event", "step", "nonfinite") in found.fields
    assert ("images", None, "3, 1") in found.fields
    course = read_course(path)
    assert (course.problem, len(course.steps)) == ("", 11)
