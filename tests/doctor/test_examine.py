"""The whole examination."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainloop.doctor import examine as module
from trainloop.doctor.examine import Report, examine, kernel_lines
from trainloop.doctor.kernels import CHECKS
from trainloop.doctor.line import Line, State

CPU = torch.device("cpu")


def of(*states):
    return Report(tuple(Line("s", "n", state, "") for state in states))


def test_notes_do_not_fail_a_report():
    assert of(State.ok, State.note, State.note).passed
    assert not of(State.ok, State.failed).passed
    assert of(State.ok, State.note, State.note).count(State.note) == 2


def test_it_looks_at_everything(tmp_path, monkeypatch, device, one_thread):  # noqa: ARG001
    monkeypatch.setenv("TRAINLOOP_DATA", str(tmp_path))
    report = examine([device], tmp_path / "runs")
    assert [line.name for line in report.lines] == [
        *CHECKS,
        *("versions", "processor", "threads", "C++ compiler", "allocator", "freed memory"),
        *("cifar10-mini", "cifar10", "runs", "data"),
    ]
    assert report.passed
    assert all(line.help for line in report.lines if line.state is not State.ok)


def test_the_cpu_is_asked_with_its_threads_and_with_one():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        lines = kernel_lines(CPU)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        alone = kernel_lines(CPU)
    finally:
        torch.set_num_threads(before)
    assert all(line.found.endswith(", 2 threads and 1 thread") for line in lines)
    assert all(line.found.endswith("all right, 1 thread") for line in alone)


def test_what_is_wrong_with_one_thread_alone_is_found(monkeypatch):
    real, before = F.linear, torch.get_num_threads()
    monkeypatch.setattr(F, "linear", lambda *args: real(*args) + (torch.get_num_threads() == 1))
    try:
        torch.set_num_threads(2)
        failed = [line for line in kernel_lines(CPU) if line.state is State.failed]
    finally:
        torch.set_num_threads(before)
    (line,) = failed
    assert line.name == "linear"
    assert line.found.startswith("1 wrong; linear, output: ")
    assert line.found.endswith(" (1 thread)")
    assert "--device" in line.help


def test_a_full_memory_is_one_failed_line(monkeypatch):
    def full(_):
        raise torch.OutOfMemoryError("no memory\nmore")

    monkeypatch.setattr(module, "run_checks", full)
    (line,) = kernel_lines(CPU)
    assert (line.state, line.name, line.found) == (State.failed, "memory", "no memory")
