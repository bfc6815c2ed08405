"""``runs clean``: what can go, what never does, and that its end between any two operations leaves valid runs."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from trainloop.checkpoint.manifest import verify
from trainloop.checkpoint.places import checkpoint_folders
from trainloop.errors import CheckpointError
from trainloop.files import one_writer, operations
from trainloop.runs import removal
from trainloop.runs.overview import list_runs, look_at
from trainloop.runs.removal import KINDS, find_removable, remove

HIDDEN = ".{}.4711-0123abcd.tmp"


@pytest.fixture
def full(runs):
    """Return runs of every kind: finished, stopped, killed, with rests of processes that died."""
    shutil.copytree(runs / "stopped", runs / "killed")
    shutil.rmtree(runs / "killed" / "checkpoints")
    (runs / "finished" / HIDDEN.format("curves.png")).write_bytes(b"half")
    rest = runs / "stopped" / "checkpoints" / HIDDEN.format("step-00000009")
    rest.mkdir()
    (rest / "tensors.safetensors").write_bytes(b"half")
    return runs


def found(runs):
    return {(item.kind, str(item.path.relative_to(runs))) for item in find_removable(runs).items}


def reasons(runs):
    return {str(kept.path.relative_to(runs)): kept.why for kept in find_removable(runs).kept}


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name not in (".owner", ".lock")}


def test_each_kind_is_found_with_its_bytes(full):
    assert found(full) == {
        ("temporary", f"finished/{HIDDEN.format('curves.png')}"),
        ("temporary", f"stopped/checkpoints/{HIDDEN.format('step-00000009')}"),
        ("empty", "killed"),
        ("checkpoints", "finished/checkpoints/step-00000006-end"),
        ("best", "finished/checkpoints/step-00000012-end"),
    } or found(full) == {
        ("temporary", f"finished/{HIDDEN.format('curves.png')}"),
        ("temporary", f"stopped/checkpoints/{HIDDEN.format('step-00000009')}"),
        ("empty", "killed"),
        ("checkpoints", "finished/checkpoints/step-00000012-end"),
        ("best", "finished/checkpoints/step-00000006-end"),
    }
    plan = find_removable(full)
    assert plan.kept == ()
    assert sum(item.bytes for item in plan.of(["temporary"])) == 8
    (best,) = plan.of(["best"])
    assert best.bytes == sum(file.stat().st_size for file in best.path.iterdir())


def test_looking_changes_nothing(full):
    before = files_in(full)
    find_removable(full)
    assert files_in(full) == before


@pytest.mark.parametrize("kinds", [["temporary"], ["empty"], ["checkpoints"], ["best"], list(KINDS)])
def test_what_was_asked_for_goes_and_nothing_else(full, kinds):
    plan = find_removable(full)
    before = files_in(full)
    done = remove(plan.of(kinds))
    assert (done.kept, done.faults) == ((), ())
    assert set(done.items) == set(plan.of(kinds))
    gone = {str(item.path.relative_to(full)) for item in done.items}
    left = {name for name in before if not any(name == path or name.startswith(f"{path}/") for path in gone)}
    assert files_in(full) | {"finished/checkpoints"} == left | {"finished/checkpoints"}
    assert {row.path.name: row.state for row in list_runs(full)} == {
        "finished": "finished",
        "stopped": "interrupted",
        **({} if "empty" in kinds else {"killed": "no checkpoint"}),
    }


def test_a_run_that_is_held_is_left(full):
    plan = find_removable(full)
    before = files_in(full)
    with one_writer(full / "finished"), one_writer(full / "stopped"), one_writer(full / "killed"):
        assert found(full) == set()
        assert set(reasons(full)) == {"finished", "stopped", "killed"}
        assert all(why.startswith(f"in use: process {os.getpid()} on ") for why in reasons(full).values())
        done = remove(plan.items)
    assert done.items == ()
    assert {kept.path.name for kept in done.kept} == {"finished", "stopped", "killed"}
    assert files_in(full) == before


def test_without_its_lock_a_run_that_is_held_would_be_emptied(full, monkeypatch):
    """The negative control: with locks that hold nobody off, the test before this one fails."""
    import contextlib

    plan = find_removable(full)
    monkeypatch.setattr(removal, "one_writer", lambda _: contextlib.nullcontext())
    with one_writer(full / "killed"):
        remove(plan.of(["empty"]))
    assert not (full / "killed").exists()


def test_what_has_changed_since_it_was_looked_at_stays(full):
    plan = find_removable(full)
    shutil.copytree(full / "stopped" / "checkpoints", full / "killed" / "checkpoints")
    done = remove(plan.of(["empty"]))
    assert done.items == ()
    assert [kept.why for kept in done.kept] == ["it has changed since it was looked at"]
    assert look_at(full / "killed").step == 8


def instead_of(path, target):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("change", "path", "why"),
    [
        (
            lambda r: (r / "killed" / "thesis.txt").write_text("x"),
            "killed",
            "thesis.txt, which trainloop did not write",
        ),
        (lambda r: (r / "killed" / "notes").mkdir(), "killed", "notes, which trainloop did not write"),
        (lambda r: (r / "killed" / ".lock").unlink(), "killed", "no .lock"),
        (lambda r: (r / "killed" / "env.json").unlink(), "killed", "env.json: No such file"),
        (lambda r: (r / "killed" / "env.json").write_text("{}"), "killed", "env.json is not of trainloop"),
        (lambda r: instead_of(r / "killed" / "metrics.jsonl", "/etc/hostname"), "killed", "metrics.jsonl in it is not"),
        (
            lambda r: ((r / "killed" / "checkpoints").mkdir(), (r / "killed" / "checkpoints" / "mine").mkdir()),
            "killed",
            "its checkpoints hold mine",
        ),
        (
            lambda r: (r / "finished" / "checkpoints" / "step-00000012-end" / "mine").write_text("x"),
            "finished/checkpoints/step-00000012-end",
            "it holds mine, which trainloop did not write",
        ),
        (
            lambda r: (r / "stopped" / "checkpoints" / HIDDEN.format("step-00000009") / "mine").write_text("x"),
            f"stopped/checkpoints/{HIDDEN.format('step-00000009')}",
            "it holds mine",
        ),
    ],
)
def test_what_others_wrote_stays_and_is_said(full, change, path, why):
    change(full)
    assert why in reasons(full)[path]
    remove(find_removable(full).items)
    assert (full / path).exists()


def test_links_are_neither_followed_nor_removed(full, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(full / "finished", elsewhere / "finished")
    shutil.move(full / "stopped" / "checkpoints", elsewhere / "checkpoints")
    shutil.move(full / "killed" / "metrics.jsonl", elsewhere / "metrics.jsonl")
    (full / "finished").symlink_to(elsewhere / "finished")
    (full / "stopped" / "checkpoints").symlink_to(elsewhere / "checkpoints")
    (full / "killed" / HIDDEN.format("metrics.jsonl")).symlink_to(elsewhere / "metrics.jsonl")
    (full / HIDDEN.format("gone")).symlink_to(elsewhere / "finished")
    before = files_in(elsewhere)
    remove(find_removable(full).items)
    assert files_in(elsewhere) == before
    assert reasons(full)["finished"] == "a link; name the folder that it leads to"
    assert reasons(full)["stopped/checkpoints"] == "a link"
    assert (full / HIDDEN.format("gone")).is_symlink()


def test_a_link_put_in_the_place_of_a_checkpoint_is_not_followed(full, tmp_path, monkeypatch):
    """Between the last look and the removal somebody swaps the folder for a link."""
    target = tmp_path / "precious"
    shutil.copytree(full / "finished" / "checkpoints" / "step-00000012-end", target)
    real = operations.rename_folder

    def swapped(source, destination):
        if source.name == "step-00000012-end" and not source.is_symlink():
            shutil.rmtree(source)
            source.symlink_to(target)
        real(source, destination)

    monkeypatch.setattr(operations, "rename_folder", swapped)
    done = remove(find_removable(full).of(["checkpoints", "best"]))
    assert [fault.found for fault in done.faults] == ["not a folder"]
    assert files_in(target) == {"MANIFEST.json", "state.json", "tensors.safetensors"}


@pytest.mark.parametrize("spoil", ["weights gone", "weights cut", "summary cut"])
def test_a_damaged_run_keeps_its_checkpoints(full, spoil):
    run = full / "finished"
    if spoil == "weights gone":
        (run / "weights.safetensors").unlink()
    elif spoil == "weights cut":
        os.truncate(run / "weights.safetensors", 800)
    else:
        os.truncate(run / "summary.json", 100)
    assert {kind for kind, path in found(full) if path.startswith("finished")} == {"temporary"}


class Crash(BaseException):
    """The process ends here."""


def crash_at(patch, at):
    """Let the operation number ``at`` (from 1) not happen, nor anything after it; return the count of those so far."""
    done = []
    for name in ("unlink", "rmdir", "rename_folder"):
        real = getattr(operations, name)

        def counted(*arguments, real=real):
            done.append(real)
            if len(done) >= at:
                raise Crash
            return real(*arguments)

        patch.setattr(operations, name, counted)
    return done


def assert_valid(runs):
    """Every run is what it was, or gone; what bears a checkpoint's name verifies; the rest is cleaned the next time."""
    rows = {row.path.name: row for row in list_runs(runs)}
    assert rows["finished"].state == "finished"
    assert (rows["stopped"].state, rows["stopped"].step) == ("interrupted", 8)
    assert "killed" not in rows or rows["killed"].state == "no checkpoint"
    for run in rows.values():
        for path in checkpoint_folders(run.path):
            verify(path)
    assert remove(find_removable(runs).items).faults == ()
    assert found(runs) == set()
    assert sorted(path.name for path in runs.iterdir()) == ["finished", "stopped"]


def crash_everywhere(full, keep):
    """Stop the removal at each of its operations; return how many there are."""
    at = 0
    while True:
        at += 1
        shutil.rmtree(full)
        shutil.copytree(keep, full)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, at)
            try:
                done = remove(find_removable(full).items)
            except Crash:
                pass
            else:
                assert done.faults == ()
                return at - 1
        assert_valid(full)


def test_an_end_between_any_two_operations_leaves_valid_runs(full, tmp_path):
    shutil.copytree(full, tmp_path / "keep")
    assert crash_everywhere(full, tmp_path / "keep") >= 20


def test_a_removal_that_keeps_the_name_fails_this_test(full, tmp_path, monkeypatch):
    """The negative control: files removed under the final name leave half a checkpoint."""
    shutil.copytree(full, tmp_path / "keep")
    monkeypatch.setattr(removal, "_remove_own", lambda folder, _: removal.remove_flat_folder(folder))
    with pytest.raises((AssertionError, CheckpointError)):
        crash_everywhere(full, tmp_path / "keep")


def test_what_the_disk_refuses_is_told_and_the_rest_goes(full, monkeypatch):
    real = operations.rename_folder

    def refuse(source, target):
        if "killed" in str(source):
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(operations, "rename_folder", refuse)
    done = remove(find_removable(full).items)
    (fault,) = done.faults
    assert (fault.where, fault.found) == (str(full / "killed"), "Permission denied")
    assert (full / "killed" / "metrics.jsonl").exists()
    assert checkpoint_folders(full / "finished") == []


def test_the_best_epoch_is_that_of_the_furthest_checkpoint(full):
    state = json.loads((full / "finished" / "checkpoints" / "step-00000012-end" / "state.json").read_text())
    (best,) = find_removable(full).of(["best"])
    assert best.path.name == state["best"]["folder"]
