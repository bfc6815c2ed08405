"""The proof around the processes: where kills are aimed, what they may cost, where the runs lie, what is printed."""

from __future__ import annotations

import json
import random

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.errors import CheckFailedError, InterruptedRunError, UsageError
from trainloop.verify_resume import proof as proof_module
from trainloop.verify_resume.ends import Same
from trainloop.verify_resume.place import proof_folder
from trainloop.verify_resume.proof import Aim, Kill, Killer, Proof


class FakeChild:
    """A process that is as far as it is said to be."""

    def __init__(self, tmp_path, at_step=0, reported=0, ends=False):
        self.run_dir, self.at_step, self.reported, self.ends = tmp_path / "run", at_step, reported, ends
        self.did = []

    def wait_for_start(self):
        self.did.append("start")

    def wait(self, seconds):
        self.did.append(seconds)
        return not self.ends

    def wait_for_save(self):
        self.did.append("save")
        return not self.ends

    def kill(self):
        self.did.append("kill")

    def events(self):
        return [{"event": "checkpoint", "step": self.reported, "milliseconds": 40.0}]

    def is_saving(self):
        return True

    def last_step(self):
        return self.at_step

    def last_reported(self):
        return self.reported


def killer_of(monkeypatch, newest, every=10, steps=100, told=None):
    found = iter(newest)
    monkeypatch.setattr(proof_module, "newest_step", lambda _: next(found))
    proof = Proof(steps, seconds=20.0, every=every)
    return proof, Killer(proof, None, 3.0, random.Random(0), told or (lambda _: None))


@pytest.mark.parametrize(
    ("before", "after", "at_step", "reported", "fault"),
    [
        (0, 30, 38, 30, ""),
        (0, 30, 40, 30, ""),
        (0, 30, 41, 30, "11 steps are lost, more than 10"),
        (0, 20, 30, 30, "the checkpoint of step 30 is lost, the newest that verifies is of 20"),
        (40, 30, 35, 0, "the checkpoint of step 40 is lost, the newest that verifies is of 30"),
    ],
)
def test_what_a_kill_may_cost(before, after, at_step, reported, fault, monkeypatch, tmp_path):
    told = []
    proof, killer = killer_of(monkeypatch, [before, after], told=told.append)
    assert killer._kill(FakeChild(tmp_path, at_step, reported), run=1, left=3)
    assert proof.kills == told
    assert told[0].fault == fault
    assert proof.passed == (fault == "")


def test_every_place_is_aimed_at_and_half_of_the_kills_inside_saves(monkeypatch, tmp_path):
    proof, killer = killer_of(monkeypatch, [10] * 24)
    children = [FakeChild(tmp_path, 10, 10) for _ in range(12)]
    for child in children:
        killer._kill(child, run=1, left=2)
    aims = [kill.aim for kill in proof.kills]
    assert aims.count(Aim.SAVE) == 6
    assert set(aims) == set(Aim)
    for child, aim in zip(children, aims, strict=True):
        assert ("save" in child.did, "start" in child.did) == (aim is Aim.SAVE, aim is not Aim.START)
        assert child.did[-1] == "kill"
        if aim is Aim.SAVE:
            assert 0 <= child.did[-2] <= 0.04


def test_a_process_that_ends_before_is_not_killed(monkeypatch, tmp_path):
    proof, killer = killer_of(monkeypatch, [10])
    assert not killer._kill(FakeChild(tmp_path, ends=True), run=1, left=1)
    assert proof.kills == []


def test_a_temporary_place_goes_unless_something_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with proof_folder(None) as place:
        (place.path / "file").touch()
    assert not place.path.exists()
    with pytest.raises(InterruptedRunError), proof_folder(None) as place:
        raise InterruptedRunError("interrupted")
    assert not place.path.exists()
    with pytest.raises(CheckFailedError), proof_folder(None) as place:
        raise CheckFailedError("a run failed")
    assert place.path.exists()
    with proof_folder(None) as place:
        place.keep = True
    assert place.path.exists()


def test_a_place_of_the_users_own_is_new_and_stays(tmp_path):
    with proof_folder(tmp_path / "new") as place:
        assert place.path == tmp_path / "new"
    assert place.path.exists()
    with pytest.raises(UsageError, match="--keep"), proof_folder(tmp_path / "new"):
        pass


def proof_of(*, first="", fault=""):
    proof = Proof(steps=100, seconds=1.0, every=10)
    proof.kills.append(Kill(1, Aim.SAVE, during_save=True, at_step=38, reported=30, newest=30, fault=fault))
    proof.parts.append([Same("optimizer", 3, first)])
    return proof


@pytest.fixture
def printed(monkeypatch, tmp_path):
    def run(proof, *options):
        def prove(*_, on_kill, **_kwargs):
            for kill in proof.kills:
                on_kill(kill)
            return proof

        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr("trainloop.verify_resume.prove", prove)
        return CliRunner().invoke(app, ["verify-resume", *options])

    return run


def test_a_proof_is_printed_kill_by_kill_and_part_by_part(printed):
    result = printed(proof_of())
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["1", "1", "inside", "a", "save", "yes", "38", "step", "30"] in lines
    assert ["1", "optimizer", "3", "the", "same", "bits"] in lines
    assert "1 kills, 1 of them inside a save: no checkpoint lost, at most 8 steps done again" in result.output


@pytest.mark.parametrize("changes", [{"first": "weight: a without a break, b with"}, {"fault": "a checkpoint is lost"}])
def test_a_refutation_says_what_differs_and_ends_with_1(printed, changes, tmp_path):
    result = printed(proof_of(**changes))
    assert isinstance(result.exception, CheckFailedError)
    assert result.exception.exit_code == 1
    assert next(iter(changes.values())) in str(result.exception)
    assert any(tmp_path.iterdir())


def test_as_json(printed):
    facts = json.loads(printed(proof_of(), "--json").output)
    assert facts["passed"]
    assert facts["kills"][0]["aim"] == "inside a save"
