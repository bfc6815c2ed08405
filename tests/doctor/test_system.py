"""Versions, processor, threads and compiler."""

from __future__ import annotations

import os
from importlib import metadata

import pytest
import torch

from trainloop.doctor import system
from trainloop.doctor.line import State


def test_versions_are_named(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["torch>=2.0", "numpy >= 1.0", 'pytest>=99; extra == "dev"'])
    line = system.versions_line()
    assert line.state is State.ok
    assert f"torch {torch.__version__}" in line.found
    for name in ("trainloop", "python", "numpy", "torchvision"):
        assert f"{name} " in line.found


def test_a_package_that_is_too_old_fails_by_name(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["torch>=2.0", "numpy>=1000.5"])
    line = system.versions_line()
    assert line.state is State.failed
    assert line.found.startswith(f"numpy {metadata.version('numpy')} is older than 1000.5; ")
    assert "install trainloop again" in line.help


@pytest.mark.parametrize(
    ("version", "least", "old"),
    [("2.9.1", "2.10", True), ("2.10.0+cu130", "2.10", False), ("10.0", "9.9", False), ("0.24", "0.25", True)],
)
def test_versions_are_compared_as_numbers(monkeypatch, version, least, old):
    monkeypatch.setattr(metadata, "requires", lambda _: [f"torch>={least}"])
    monkeypatch.setattr(metadata, "version", lambda _: version)
    assert bool(system.too_old()) is old


def test_a_source_that_is_not_installed_asks_for_nothing(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert system.too_old() == []


def test_a_processor_without_vectors_is_a_note(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(system.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    line = system.cpu_line()
    assert line.state is State.note
    assert "DEFAULT kernels (ATEN_CPU_CAPABILITY=default)" in line.found
    assert line.help == "unset ATEN_CPU_CAPABILITY"
    monkeypatch.setattr(system.platform, "machine", lambda: "arm64")
    assert system.cpu_line().state is State.ok


@pytest.mark.parametrize(
    ("threads", "cores", "words"),
    [(4, 4, ""), (1, 4, "1 for 4 usable cores: cores stay idle"), (8, 1, "8 for 1 usable core: threads wait")],
)
def test_threads_are_held_against_cores(monkeypatch, threads, cores, words):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(system, "usable_cores", lambda: cores)
    line = system.threads_line()
    assert line.state is (State.note if words else State.ok)
    assert words in line.found
    assert (f"`threads: {cores}`" in line.help) is bool(words)


def test_the_variable_of_threads_is_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "(OMP_NUM_THREADS=3)" in system.threads_line().found


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 6), ("200000 100000", 2), ("150000 100000", 2), ("5 100000", 1), ("", 6)]
)
def test_the_quota_of_a_container_counts(tmp_path, monkeypatch, text, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(text, encoding="ascii")
    assert system.usable_cores(quota) == cores
    assert system.usable_cores(tmp_path / "none") == 6


def test_a_compiler_that_works_is_ok():
    assert system.compiler_line().state is State.ok


def test_no_compiler_is_a_note_with_what_needs_it(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    line = system.compiler_line()
    assert line.state is State.note
    assert line.found == "no-such-compiler does not work: No such file or directory"
    assert "stages.step: compiled" in line.help


def test_a_compiler_whose_programs_are_wrong_is_a_note(monkeypatch):
    monkeypatch.setattr(system, "ANSWER", 43)
    line = system.compiler_line()
    assert line.state is State.note
    assert "returns a wrong number" in line.found
