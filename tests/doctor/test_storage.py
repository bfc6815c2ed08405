"""Data and disks."""

from __future__ import annotations

import contextlib
import errno
import hashlib

import pytest

from trainloop.data import cifar10
from trainloop.doctor import storage
from trainloop.doctor.line import State
from trainloop.errors import DataError
from trainloop.files import operations


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set of two files of a record each, which is here and whole."""
    contents = {name: bytes([label]) + bytes(cifar10.PIXEL_BYTES) for label, name in enumerate(("one.bin", "two.bin"))}
    files = tuple(
        cifar10.BatchFile(name, "train", hashlib.sha256(content).hexdigest(), "", records=1)
        for name, content in contents.items()
    )
    monkeypatch.setattr(cifar10, "FILES", files)
    monkeypatch.setattr(cifar10.missing, "__defaults__", (files,))
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_whole_data_is_ok(tiny):
    line = storage.cifar10_line(tiny)
    assert (line.state, line.found) == (State.ok, f"2 files, SHA-256 of each as it should be: {tiny}")


def test_no_data_is_a_note_that_says_how_to_get_it(tmp_path):
    line = storage.cifar10_line(tmp_path / "nowhere")
    assert line.state is State.note
    assert "trainloop data fetch" in line.help


def test_a_part_of_the_data_is_a_note(tiny):
    (tiny / "two.bin").unlink()
    line = storage.cifar10_line(tiny)
    assert (line.state, line.found) == (State.note, f"two.bin missing in {tiny}")


@pytest.mark.parametrize("missing", [False, True])
def test_damaged_data_fails_whether_or_not_more_is_missing(tiny, missing):
    if missing:
        (tiny / "two.bin").unlink()
    content = bytearray((tiny / "one.bin").read_bytes())
    content[500] ^= 1
    (tiny / "one.bin").write_bytes(content)
    line = storage.cifar10_line(tiny)
    assert line.state is State.failed
    assert "the content is not CIFAR-10's" in line.found
    assert "one.bin" in line.found


def test_the_images_of_the_package_are_checked(monkeypatch):
    assert storage.embedded_line().state is State.ok

    def damaged():
        raise DataError("the embedded images are damaged", where="here", found="x", expected="y", help="install again")

    monkeypatch.setattr(storage.embedded, "load", damaged)
    line = storage.embedded_line()
    assert (line.state, line.help) == (State.failed, "install again")
    assert line.found == "the embedded images are damaged: here: x, expected y"


def test_a_disk_that_works_is_ok_and_nothing_stays_on_it(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOW_BYTES", 0)
    monkeypatch.setattr(storage, "SLOW_FSYNC_MS", 1e9)
    line = storage.disk_line(storage.RUNS, tmp_path / "not yet" / "runs", needed=True)
    assert line.state is State.ok
    assert "fsync" in line.found
    assert list(tmp_path.iterdir()) == []


def test_little_space_and_a_slow_disk_are_notes(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SLOW_FSYNC_MS", 0.0)
    assert "a local disk" in storage.disk_line(storage.RUNS, tmp_path, needed=True).help
    monkeypatch.setattr(storage, "free_bytes", lambda _: 1_000_000)
    line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
    assert (line.state, line.help.partition(":")[0]) == (State.note, "free some space")
    assert line.found.startswith("976.6 KiB free")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("mkdir", errno.EROFS),
        ("create", errno.EACCES),
        ("write", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("replace", errno.EIO),
        ("unlink", errno.EIO),
    ],
)
def test_every_operation_that_a_disk_refuses_fails(tmp_path, monkeypatch, operation, code):
    def refuse(*_):
        raise OSError(code, "refused by the test")

    with monkeypatch.context() as broken:
        broken.setattr(operations, operation, refuse)
        line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
        assert storage.disk_line(storage.DATA, tmp_path, needed=False).state is State.note
    assert line.state is State.failed
    assert line.found.startswith("cannot be used (")
    assert line.found.endswith(f": {tmp_path}")
    assert "--run-dir" in line.help


def test_a_folder_that_may_not_even_be_looked_into_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(storage.Path, "exists", refuse)
    line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
    assert (line.state, line.found) == (State.failed, f"cannot be used (Permission denied): {tmp_path}")
    line = storage.cifar10_line(tmp_path)
    assert (line.state, line.found) == (State.note, f"cannot be read (Permission denied): {tmp_path}")
    assert "TRAINLOOP_DATA" in line.help


def test_a_disk_that_loses_a_write_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "write_text", lambda path, _: path.write_text("something else", encoding="utf-8"))
    line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
    assert (line.state, line.found) == (State.failed, f"a file reads otherwise than it was written: {tmp_path}")


def test_a_lock_that_holds_nobody_out_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "one_writer", lambda _: contextlib.nullcontext())
    line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
    assert line.found == f"a second process could take the lock of a run folder: {tmp_path}"


def test_a_lock_that_stays_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "is_held", lambda _: True)
    assert "a lock stays" in storage.disk_line(storage.RUNS, tmp_path, needed=True).found


def test_a_disk_without_locks_fails(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def no_locks(_):
        raise NotImplementedError("FileSystem does not appear to support flock")
        yield

    monkeypatch.setattr(storage, "one_writer", no_locks)
    line = storage.disk_line(storage.RUNS, tmp_path, needed=True)
    assert line.state is State.failed
    assert "support flock" in line.found
