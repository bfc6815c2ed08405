"""The allocator."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from trainloop.doctor import memory
from trainloop.doctor.line import State


def test_settings_that_are_set_are_told_and_no_others(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    line = memory.settings_line()
    assert line.state is State.ok
    assert "MALLOC_ARENA_MAX=2 · PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" in line.found
    assert "hunter2" not in line.found
    assert "LD_PRELOAD" not in line.found


def test_freed_memory_stays_where_glibc_is_told_so():
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this system's allocator is not glibc's")
    line = memory.kept_line()
    assert line.state is State.ok
    assert line.found.startswith("stays in the process: ")


def test_glibc_left_alone_faults_for_every_page():
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this system's allocator is not glibc's")
    code = "from trainloop.doctor.memory import faults_again; print(*faults_again())"
    faults, pages = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(faults) > 0.1 * int(pages)


def test_a_page_fault_a_page_is_a_note(monkeypatch):
    monkeypatch.setattr(memory, "faults_again", lambda: (8_192, 8_192))
    line = memory.kept_line()
    assert line.state is State.note
    assert line.found.startswith("goes back to the system: 8,192 page faults for the 8,192 pages")
    assert "keep_memory" in line.help


def test_what_cannot_be_counted_is_a_note(monkeypatch):
    monkeypatch.setattr(memory, "faults_again", lambda: (None, 8_192))
    assert memory.kept_line().state is State.note
