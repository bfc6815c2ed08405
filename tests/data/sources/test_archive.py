from __future__ import annotations

import contextlib
import gzip
import io
import random
import sys
import tarfile
from pathlib import Path

import pytest

from trainloop.data.sources import archive, forms
from trainloop.errors import DataError

WANTED = "cifar-10-batches-bin/data_batch_1.bin"
EVENTS: list[tuple[str, object]] | None = None


def _record(event: str, arguments: object) -> None:
    if EVENTS is not None:
        EVENTS.append((event, arguments))


sys.addaudithook(_record)


def tar_of(path: Path, *headers: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for header in headers:
            tar.addfile(header, io.BytesIO(bytes(header.size)))
    return path


def header(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def read_all(path: Path, tiny) -> None:
    """Read as an import does."""
    for _ in forms.contents(path, tiny.files):
        pass


def refused(path: Path, tiny) -> str:
    """Read an archive that must be refused, and prove that nothing was written and no other file opened."""
    global EVENTS
    before = sorted(path.parent.iterdir())
    EVENTS = []
    try:
        with pytest.raises(DataError) as caught:
            read_all(path, tiny)
        opened = [str(arguments[0]) for event, arguments in EVENTS if event == "open" and isinstance(arguments, tuple)]
    finally:
        EVENTS = None
    assert sorted(path.parent.iterdir()) == before
    assert [name for name in opened if not name.endswith(".py") and name != str(path)] == []
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_under_a_wanted_name_are_refused(tmp_path, tiny, kind):
    path = tar_of(tmp_path / "a.tar.gz", header(WANTED, kind, link="/etc/passwd"))
    message = refused(path, tiny)
    assert "the archive cannot be used" in message
    assert f"the member '{WANTED}' is not a plain file" in message


@pytest.mark.parametrize("name", ["../data_batch_1.bin", "/cifar-10-batches-bin/data_batch_1.bin", "x/" + WANTED])
def test_other_paths_are_not_taken_for_members(tmp_path, tiny, name):
    path = tar_of(tmp_path / "a.tar.gz", header(name, size=30_730))
    assert "no form of CIFAR-10 in this archive" in refused(path, tiny)


def test_member_twice_is_refused(tmp_path, tiny):
    path = tar_of(tmp_path / "a.tar.gz", header(WANTED, size=30_730), header(WANTED, size=30_730))
    assert f"two members named '{WANTED}'" in refused(path, tiny)


def test_too_many_members_are_refused(tmp_path, tiny):
    path = tar_of(tmp_path / "a.tar.gz", *(header(f"file{index}") for index in range(100)))
    assert "more than CIFAR-10 holds (at most 64 members" in refused(path, tiny)


def test_member_that_claims_ten_gigabytes_is_refused(tmp_path, tiny):
    claim = header("other", size=0)
    claim.size = 10_000_000_000
    path = tmp_path / "a.tar"
    path.write_bytes(claim.tobuf() + bytes(1024))
    assert "more than CIFAR-10 holds" in refused(path, tiny)


def test_sparse_member_is_refused(tmp_path, tiny):
    claim = header(WANTED, tarfile.GNUTYPE_SPARSE, size=0)
    buffer = bytearray(claim.tobuf(tarfile.GNU_FORMAT))
    buffer[386:398] = b"%011o\0" % 0
    buffer[483:495] = b"%011o\0" % 30_730
    buffer[148:156] = b"        "
    buffer[148:156] = b"%06o\0 " % sum(buffer[:512])
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(buffer) + bytes(1024))
    assert "is not a plain file" in refused(path, tiny)


def test_gzip_bomb_is_refused(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 1_000_000)
    path = tar_of(tmp_path / "a.tar.gz", *(header(f"file{index}", size=200_000) for index in range(10)))
    assert "more than CIFAR-10 holds" in refused(path, tiny)


def test_header_that_claims_gigabytes_is_not_read(tmp_path, tiny):
    claim = header("././@PaxHeader", tarfile.XHDTYPE)
    claim.size = 5_000_000_000
    path = tmp_path / "a.tar"
    path.write_bytes(claim.tobuf() + bytes(1024))
    assert "more than CIFAR-10 holds" in refused(path, tiny)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x1f\x8b", bytes(5), b"x" * 2000, gzip.compress(b"x" * 2000, mtime=0)]
)
def test_what_is_no_archive_is_refused(tmp_path, tiny, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    message = refused(path, tiny)
    assert "the archive cannot be used" in message or "no form of CIFAR-10" in message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_archive_is_refused(tmp_path, tiny, write_tar, share):
    members = {f"cifar-10-batches-bin/{name}": content for name, content in tiny.binary().items()}
    path = write_tar(tmp_path / "a.tar.gz", members)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, tiny)


def test_members_are_read_without_their_leading_dot(tmp_path, tiny, write_tar):
    members = {f"./cifar-10-batches-bin/{name}": content for name, content in tiny.contents.items()}
    path = write_tar(tmp_path / "a.tar.gz", members)
    assert {file.name: content for file, content in forms.contents(path, tiny.files)} == tiny.contents


def test_folder_in_place_of_an_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read the archive"):
        list(archive.members(tmp_path))


def test_any_damage_gives_a_data_error_or_contents(tmp_path, tiny, write_tar):
    randomness = random.Random(12)
    members = {f"cifar-10-batches-bin/{name}": content for name, content in tiny.contents.items()}
    archives = [write_tar(tmp_path / "a.tar", members, mode).read_bytes() for mode in ("w", "w:gz")]
    for _ in range(200):
        content = bytearray(randomness.choice(archives))
        for _ in range(randomness.randint(1, 8)):
            block = 512 * randomness.randrange(len(content) // 512)
            content[block + randomness.randrange(512)] = randomness.randrange(256)
        (tmp_path / "a.tar").write_bytes(bytes(content))
        with contextlib.suppress(DataError):
            read_all(tmp_path / "a.tar", tiny)
