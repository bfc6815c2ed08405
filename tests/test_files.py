"""The file module: whole files or none, what the disk refuses, and one writer a folder."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import stat
import threading

import pytest

from trainloop import files
from trainloop.errors import ResourceError, RunFolderBusyError, UsageError


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "deep" / "file.bin"
    files.write_bytes(target, b"one")
    files.write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert [file.name for file in target.parent.iterdir()] == ["file.bin"]


def test_text_is_utf_8_with_plain_line_ends(tmp_path):
    files.write_text(tmp_path / "a.txt", "×\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\x97\n"


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "no space left to write a.bin"),
        (errno.EDQUOT, "no space left to write a.bin"),
        (errno.EACCES, "no permission to write a.bin"),
        (errno.EROFS, "no permission to write a.bin"),
        (errno.EIO, "cannot write a.bin"),
    ],
)
def test_what_the_disk_refuses_is_said_and_the_old_file_stays(tmp_path, monkeypatch, number, text):
    target = tmp_path / "a.bin"
    files.write_bytes(target, b"old")

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.operations, "fsync", refuse)
    with pytest.raises(ResourceError, match=text) as caught:
        files.write_bytes(target, b"newer")
    assert caught.value.exit_code == 6
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_names_the_bytes_needed_and_free(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.operations, "fsync", refuse)
    with pytest.raises(ResourceError, match=r"found: 5 bytes needed, [\d,]+ bytes free"):
        files.write_bytes(tmp_path / "a.bin", b"12345")


def test_appended_lines_are_there_at_once(tmp_path):
    stream = files.AppendFile(tmp_path / "log", fresh=True)
    stream.append("one\n")
    assert (tmp_path / "log").read_text() == "one\n"
    stream.append("two\n")
    stream.close()
    stream.close()
    with files.AppendFile(tmp_path / "log") as again:
        again.append("three\n")
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n"


def test_a_new_folder_is_made_once(tmp_path):
    assert files.make_new_folder(tmp_path / "a" / "b")
    assert not files.make_new_folder(tmp_path / "a" / "b")


def test_a_folder_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write b"):
        files.make_folder(tmp_path / "file" / "b")


def hold(folder, ready):
    with files.one_writer(folder):
        ready.set()
        signal.pause()


def test_a_second_writer_is_refused_and_the_lock_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    with (
        pytest.raises(RunFolderBusyError, match=f"found: process {holder.pid} on ") as caught,
        files.one_writer(tmp_path),
    ):
        pytest.fail("two writers")
    assert caught.value.exit_code == 8
    holder.kill()
    holder.join()
    with files.one_writer(tmp_path):
        pass


def test_what_a_dead_process_left_names_nobody(tmp_path):
    from trainloop.files import folders

    host = socket.gethostname()
    (tmp_path / files.OWNER_NAME).write_text(f"process {os.getpid()} on {host}, since today\n")
    assert folders._present_owner(tmp_path) == f"process {os.getpid()} on {host}, since today"
    assert not folders._has_ended(f"process {os.getpid()} on {host}, since today")
    assert not folders._has_ended("process 1 on another-host, since today")
    gone = multiprocessing.get_context("fork").Process(target=int)
    gone.start()
    gone.join()
    assert folders._has_ended(f"process {gone.pid} on {host}, since today")


def test_only_who_holds_the_lock_removes_an_unused_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with files.one_writer(folder, remove_unused=True):
        with pytest.raises(RunFolderBusyError), files.one_writer(folder, remove_unused=True):
            pytest.fail("two writers")
        assert (folder / files.LOCK_NAME).exists()
    assert not folder.exists()


@pytest.mark.parametrize(("make", "kind"), [("link", "a link"), ("pipe", "a pipe"), ("folder", "a folder")])
def test_what_is_no_plain_file_is_refused(tmp_path, make, kind):
    path = tmp_path / "metrics.jsonl"
    files.require_plain_file(path)
    {"link": lambda: path.symlink_to("elsewhere"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[make]()
    with pytest.raises(UsageError, match=f"found: {kind}"):
        files.require_plain_file(path)
    path.rmdir() if make == "folder" else path.unlink()
    path.write_text("")
    files.require_plain_file(path)
    with pytest.raises(UsageError, match="found: a file"):
        files.require_plain_folder(path)


def test_no_line_is_appended_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match="cannot write link"):
        files.AppendFile(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_removed_with_all_in_it_and_nothing_behind_its_links(tmp_path):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "file").write_text("")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("")
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "theirs")
    files.remove_whole(tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert (tmp_path / "theirs" / "file").exists()


def test_the_lock_can_be_had_again(tmp_path):
    for _ in range(2):
        with files.one_writer(tmp_path):
            pass


def take_while_somebody_asks(folder):
    """Take a lock that somebody else holds shared, as `is_held` does, for the next 50 ms."""
    with (folder / ".lock").open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.05, fcntl.flock, (asking, fcntl.LOCK_UN))
        letting_go.start()
        try:
            with files.one_writer(folder):
                pass
        finally:
            letting_go.join()


def test_whoever_asks_for_a_lock_keeps_nobody_from_taking_it(tmp_path):
    with files.one_writer(tmp_path):
        assert files.is_held(tmp_path)
    assert not files.is_held(tmp_path)
    take_while_somebody_asks(tmp_path)


def test_without_patience_somebody_who_asks_would_keep_others_off(tmp_path, monkeypatch):
    """The negative control."""
    monkeypatch.setattr("trainloop.files.folders.PATIENCE_SECONDS", 0.0)
    with pytest.raises(RunFolderBusyError):
        take_while_somebody_asks(tmp_path)


def test_two_who_ask_see_nothing_of_each_other(tmp_path):
    with (tmp_path / ".lock").open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not files.is_held(tmp_path)


def test_a_lock_file_that_is_none_is_told_as_held_or_not_there(tmp_path):
    assert not files.is_held(tmp_path)
    (tmp_path / "other").write_text("")
    (tmp_path / ".lock").symlink_to(tmp_path / "other")
    assert files.is_held(tmp_path)
    assert files.owner(tmp_path) == "an unknown process"


def test_only_plain_files_are_read_and_never_more_than_a_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"123456")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert files.read_plain(tmp_path / "file", 6) == b"123456"
    assert files.read_plain(tmp_path / "file", 2, end=True) == b"56"
    for name, reason in (("file", "6 bytes, 5 at most"), ("link", "a link"), ("pipe", "a device"), (".", "a folder")):
        with pytest.raises(OSError, match=reason):
            files.read_plain(tmp_path / name, 5)


def test_the_size_of_a_folder_leaves_links_alone(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "file").write_bytes(b"123")
    (tmp_path / "big").write_bytes(b"x" * 999)
    (inside / "link").symlink_to(tmp_path / "big")
    (inside / "up").symlink_to(tmp_path)
    links = sum((inside / name).lstat().st_size for name in ("link", "up"))
    assert files.disk_use(tmp_path / "a") == 3 + links


def test_a_line_that_does_not_fit_leaves_no_half(tmp_path):
    resource = pytest.importorskip("resource", reason="needs RLIMIT_FSIZE")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    stream = files.AppendFile(tmp_path / "log", fresh=True)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        stream.append("1234567\n")
        with pytest.raises(ResourceError, match="no space left to write log"):
            stream.append("too long a line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old_handler)
        stream.close()
    assert (tmp_path / "log").read_text() == "1234567\n"


@pytest.mark.parametrize(("content", "kept"), [([], False), (["metrics.jsonl"], True), ([".hidden"], True)])
def test_only_a_folder_without_content_is_removed(tmp_path, content, kept):
    folder = tmp_path / "run"
    with_lock = [*content, files.LOCK_NAME]
    folder.mkdir()
    for name in with_lock:
        (folder / name).write_text("")
    files.remove_if_unused(folder)
    assert folder.exists() == kept
    assert not kept or sorted(file.name for file in folder.iterdir()) == sorted(with_lock)
