"""Disks that are full, limited, read-only or not ours: nothing is claimed that is not there, and a run goes on when it can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).parent / "disk_child.py"
UNSHARE = ("unshare", "-m", "--propagation", "private") if os.geteuid() == 0 else ("unshare", "-rm")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Run every scenario; return what each did, by name."""
    try:
        probe = "mount -t tmpfs none /mnt"
        subprocess.run([*UNSHARE, "sh", "-c", probe], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a mount namespace of its own (unshare): {error}")
    home = tmp_path_factory.mktemp("disks")
    done = subprocess.run([*UNSHARE, sys.executable, CHILD, home], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


def notices(found):
    return [json.loads(line)["text"] for line in found["text"].splitlines() if line.startswith('{"event": "notice"')]


def untrue(found):
    """Return the steps that were said to be saved and were not."""
    return [step for step, was_true in found["claims"] if not was_true]


def test_nothing_is_claimed_that_is_not_on_the_disk(told, counted):
    honest = {name: found for name, found in told.items() if name != "a claim too early"}
    assert {name: untrue(found) for name, found in honest.items() if untrue(found)} == {}
    claims = sum(len(found["claims"]) for found in honest.values())
    counted(
        f"{claims} claims in {len(honest)} runs, {sum(len(notices(found)) for found in honest.values())} misses told"
    )
    for name, found in honest.items():
        assert "Traceback" not in found["text"], name
        assert found["code"] in (0, 6) or name == "0.9 checkpoints, then enough", (name, found["text"])
        # What was saved last and not removed since is still there.
        assert not found["claims"] or f"step-{found['claims'][-1][0]:08d}" in " ".join(found["whole"]), name
    assert untrue(told["a claim too early"])


@pytest.mark.parametrize("share", ["0.9", "1.5", "2.2"])
def test_a_full_disk_is_said_with_path_and_bytes_and_training_goes_on(told, share):
    found = told[f"{share} checkpoints"]
    steps = sorted({step for step, _ in found["claims"]})
    assert steps == list(range(1, int(float(share)) + 1))
    missed = notices(found)
    assert len(missed) == 7 - len(steps)
    for text in missed:
        assert "no space left to write step-" in text
        assert "/run/checkpoints/step-" in text
        assert "bytes needed" in text
        assert "bytes free" in text
        assert "training goes on" in text


def test_too_small_a_disk_is_said_before_the_work(told):
    found = told["0.3 checkpoints"]
    assert found["code"] == 6
    assert "no space left for the results" in found["text"]
    assert found["claims"] == []


@pytest.mark.parametrize("share", ["1.5", "2.2"])
def test_results_that_do_not_fit_end_the_run_and_the_same_command_goes_on(told, share):
    found = told[f"{share} checkpoints"]
    assert found["code"] == 6
    assert "no space left to write weights.safetensors" in found["text"]
    assert f"to go on from step-0000000{int(float(share))} then: trainloop train" in found["text"]
    again = told[f"{share} checkpoints, then enough"]
    assert again["code"] == 0
    assert again["claims"][0][0] == int(float(share)) + 1
    assert again["weights"] == told["enough"]["weights"]


@pytest.mark.parametrize("name", ["filled for a while", "read-only checkpoints", "no rights for a while"])
def test_what_passes_costs_the_checkpoints_meanwhile(told, name):
    found = told[name]
    assert found["code"] == 0
    assert [step for step, _ in found["claims"]] == [1, 4, 5, 6, 6]
    assert len(notices(found)) == 2
    assert found["weights"] == told["enough"]["weights"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("files of at most 0.3 checkpoints", "may not write so large a file"),
        ("read-only run folder", "the disk is read-only"),
        ("no rights from the start", "no permission to write"),
    ],
)
def test_what_lasts_ends_the_run_in_words(told, name, text):
    assert told[name]["code"] == 6
    assert text in told[name]["text"].replace("Read-only", "read-only")


def test_a_limit_that_spares_the_results_costs_only_the_checkpoints(told):
    found = told["files of at most 0.7 checkpoints"]
    assert (found["code"], found["claims"]) == (0, [])
    assert all("may not write so large a file" in text for text in notices(found))
