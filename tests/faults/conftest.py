"""Faults on purpose: what a run survives, counted. ``make test-faults`` runs them, ``make test-faults-long`` far more of each.

Every family has a negative control in the same test function: a writer, reader or check that is broken on purpose, and
must be found out, else the test proves nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from tests import small_runs

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption("--faults-long", action="store_true", help="far more of each fault")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)


COUNTED = pytest.StashKey[list[str]]()


@pytest.fixture
def counted(request):
    """Return a function: what a test counted, in words → shown at the end of the run."""
    return lambda text: request.config.stash.setdefault(COUNTED, []).append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter, config):
    for text in config.stash.get(COUNTED, []):
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def amount(pytestconfig):
    """Return a function: (short, long) → how many of a fault this run tries."""

    def choose(short, long):
        return long if pytestconfig.getoption("--faults-long", default=False) else short

    return choose


@pytest.fixture
def quick_path(tmp_path):
    """Return an empty folder in memory where the system has one: thousands of flushes to a disk would take minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="trainloop-faults-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def saved_at():
    """Return :func:`tests.small_runs.saved_at`."""
    return small_runs.saved_at


def content_of(saved):
    """Return every bit of a checkpoint: dtype, shape, strides and bytes of each tensor, and all facts."""
    tensors = {
        name: (
            str(tensor.dtype),
            tuple(tensor.shape),
            tensor.stride(),
            tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in saved.tensors.items()
    }
    return tensors, saved.facts.model_dump(exclude={"strides"})


@pytest.fixture(scope="session")
def bits():
    """Return :func:`content_of`."""
    return content_of


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function: words → exit code, standard output and standard error of ``trainloop`` in this process."""
    from trainloop.cli.app import main

    def run(*words):
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.setattr(sys, "argv", ["trainloop", *map(str, words)])
        try:
            with pytest.raises(SystemExit) as caught:
                main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        code = caught.value.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code or 0, out, err

    return run


@pytest.fixture(scope="session")
def tiny_config():
    """Return a function: changes by section → a config of twelve steps that is saved at every second of them."""

    def make(checkpoint=None, **changes):
        return small_runs.tiny_config(checkpoint={"every": 2, "keep": 3, **(checkpoint or {})}, **changes)

    return make


@pytest.fixture(scope="session")
def stopped_run(tmp_path_factory, tiny_config):
    """Return the folder of a run that was stopped after 7 of 12 steps; copy it before you damage it."""
    from trainloop.errors import InterruptedRunError
    from trainloop.training import train

    folder = tmp_path_factory.mktemp("stopped") / "run"
    with small_runs.stop_after(7), pytest.raises(InterruptedRunError):
        train(tiny_config(), run_dir=folder)
    return folder
