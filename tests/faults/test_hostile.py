"""Hostile files: none of them makes trainloop run, load or write anything; each is refused in words."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REFUSED = (2, 3, 4)


def loaded(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# They import one another by these names.
loaded("hostile_contents", HERE / "hostile_contents.py")
loaded("hostile_archives", HERE / "hostile_archives.py")
samples = loaded("hostile_samples", HERE / "hostile_samples.py")
data_conftest = loaded("tiny_cifar", HERE.parent / "data" / "conftest.py")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, tiny_config):
    from trainloop.training import train

    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny_config(train={"max_steps": 1}, checkpoint={"every": "never"}), run_dir=folder)
    return folder


@pytest.fixture
def room(quick_path, stopped_run, finished_run, amount):
    secret = quick_path / "outside" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("SECRET\n" * 100)
    (quick_path / "room").mkdir()
    return samples.Room(quick_path / "room", stopped_run, finished_run, secret, data_conftest.make_tiny(), amount(5, 1))


def results(room, jobs):
    """Run the jobs in forks of one process; return what each did."""
    tasks = {"warm": list(samples.harmless(room)), "jobs": jobs}
    (room.path / "tasks.json").write_text(json.dumps(tasks))
    words = [sys.executable, str(HERE / "hostile_child.py"), str(room.path / "tasks.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=room.path)
    return [json.loads(line) for line in done.stdout.splitlines()]


def fault_of(found):
    """Say what is wrong with the way a job ended; nothing is well."""
    if found["seen"]:
        return f"it did {found['seen'][:5]} {found['text'][-900:]}"
    if found["code"] not in REFUSED:
        return f"it ended with {found['code']}: {found['text'][-600:]}"
    if "Traceback" in found["text"] or "error: " not in found["text"]:
        return f"no words: {found['text'][-600:]}"
    if "SECRET" in found["text"] or "\x1b" in found["text"]:
        return f"it printed what it must not: {found['text'][-600:]}"
    return ""


def listed(room):
    """Return the jobs: hostile files for the real command, and after them some for readers that are broken on purpose."""
    jobs = [
        {"name": f"{family}: {name}", "folder": str(folder), "words": words, "control": None, "family": family}
        for family, name, folder, words in samples.all_samples(room)
    ]
    for name, folder, words, control, event in samples.controls(room):
        jobs.append({"name": name, "folder": str(folder), "words": words, "control": control, "event": event})
    return jobs


def test_no_file_makes_it_run_load_or_write_anything(room, counted):
    jobs = listed(room)
    before = sorted(path.name for path in room.secret.parent.iterdir())
    found = results(room, jobs)
    honest = [one for one, job in zip(found, jobs, strict=True) if not job["control"]]
    assert len(honest) >= 200
    wrong = {one["name"]: fault_of(one) for one in honest if fault_of(one)}
    assert not wrong, "\n".join(f"{name}: {fault}" for name, fault in wrong.items())
    assert room.secret.read_text() == "SECRET\n" * 100
    slowest = max(honest, key=lambda one: one["seconds"])
    each = ", ".join(
        f"{count} {family}" for family, count in Counter(job.get("family") for job in jobs).items() if family
    )
    counted(f"{len(honest)} hostile files ({each}); the slowest took {slowest['seconds']:.1f} s ({slowest['name']})")
    planted = {path.name for path in room.secret.parent.iterdir()} - {*before}
    assert planted == {"extracted"}, "only the broken reader of archives writes there"
    controls = [(one, job) for one, job in zip(found, jobs, strict=True) if job["control"]]
    assert len(controls) == 4
    for one, job in controls:
        assert any(job["event"] in seen for seen in one["seen"]), one
        assert fault_of(one)
