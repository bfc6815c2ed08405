"""What a problem takes, and that what does not fit is said before it is begun."""

from __future__ import annotations

from trainloop.bench import memory
from trainloop.bench.memory import free_bytes, needed_bytes, too_large
from trainloop.bench.words import parse_words

JOB = parse_words("n2 c3 o4 h5 k3 p1").job()


def test_what_is_needed_is_counted():
    operands, result = 2 * 3 * 25 + 4 * 3 * 9, 2 * 4 * 25
    # In float64: the three tensors and the result again, and twice the columns of both images.
    oracle = 8 * (operands + 2 * result) + 2 * (8 * 27 * 25) * 2
    assert needed_bytes(JOB, "forward") == 2 * 4 * 4 * (operands + result) + 8 * 2 * result + oracle


def test_a_small_problem_fits():
    assert too_large(JOB, "forward") is None


def test_a_large_problem_does_not(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 3 << 30)
    job = parse_words("n1000 c512 o512 h64 k3 p1").job()
    assert too_large(job, "forward") == "it needs about 203.5 GiB of memory, and 3.0 GiB are free"


def test_a_workspace_comes_on_top(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 1 << 20)
    assert too_large(JOB, "forward") is None
    assert too_large(JOB, "forward", workspace=1 << 20) is not None


def test_a_system_that_does_not_tell_refuses_nothing(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _device: None)
    assert too_large(parse_words("n900000 c512 o512 h64 k3").job(), "forward") is None


def test_free_memory_is_a_number_or_unknown():
    found = free_bytes("cpu")
    assert found is None or found > 0


def test_a_system_without_the_file_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _name: tmp_path / "none")
    assert free_bytes("cpu") is None
