from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainloop import files as disk
from trainloop.data import cifar10
from trainloop.data.sources.listener import Listener
from trainloop.data.sources.store import check_space, import_copy
from trainloop.errors import DataError, ResourceError, RunFolderBusyError


@pytest.fixture
def copy(tmp_path, tiny, write_folder) -> Path:
    return write_folder(tmp_path / "copy", tiny.contents)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_import_gives_verified_files(tmp_path, tiny, copy):
    import_copy(copy, tmp_path / "to", files=tiny.files)
    cifar10.verify(tmp_path / "to", tiny.files)
    assert visible(tmp_path / "to") == sorted(tiny.contents)


def test_import_onto_itself_changes_nothing(tiny, copy):
    import_copy(copy, copy, files=tiny.files)
    cifar10.verify(copy, tiny.files)


def test_import_replaces_a_damaged_file(tmp_path, tiny, copy):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "test_batch.bin").write_bytes(b"damaged")
    import_copy(copy, tmp_path / "to", files=tiny.files)
    cifar10.verify(tmp_path / "to", tiny.files)


def test_wrong_content_never_gets_its_final_name(tmp_path, tiny, copy):
    content = bytearray(tiny.contents["data_batch_2.bin"])
    content[77] ^= 1
    (copy / "data_batch_2.bin").write_bytes(bytes(content))
    with pytest.raises(DataError) as caught:
        import_copy(copy, tmp_path / "to", files=tiny.files)
    message = str(caught.value)
    assert f"data_batch_2.bin of {copy}: the content is not CIFAR-10's" in message
    assert tiny.files[1].sha256 in message
    assert "run `trainloop data fetch`" in message
    assert "data_batch_2.bin" not in visible(tmp_path / "to")


def test_wrong_content_leaves_the_old_file_alone(tmp_path, tiny, copy):
    import_copy(copy, tmp_path / "to", files=tiny.files)
    (copy / "data_batch_1.bin").write_bytes(b"short")
    with pytest.raises(DataError, match="the file is truncated"):
        import_copy(copy, tmp_path / "to", files=tiny.files)
    cifar10.verify(tmp_path / "to", tiny.files)


def test_progress_reaches_the_total(tmp_path, tiny, copy):
    class Heard(Listener):
        last = (0, 0)

        def moved(self, _name, done, total):
            Heard.last = (done, total)

    import_copy(copy, tmp_path / "to", files=tiny.files, listener=Heard())
    assert Heard.last == (92_190, 92_190)


def test_one_import_at_a_time(tmp_path, tiny, copy):
    folder = tmp_path / "to"
    folder.mkdir()
    with disk.one_writer(folder), pytest.raises(RunFolderBusyError, match=f"process {os.getpid()}"):
        import_copy(copy, folder, files=tiny.files)


def test_too_little_space_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.refusal, "free_bytes", lambda _: 1_234_567)
    with pytest.raises(ResourceError, match="not enough space for CIFAR-10") as caught:
        check_space(tmp_path, 184_380_000)
    assert "1,234,567 bytes free" in str(caught.value)
    assert "184,380,000 bytes" in str(caught.value)
    assert "TRAINLOOP_DATA" in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from trainloop import files
from trainloop.data.sources import store
folder, copy, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
table = [store.BatchFile(n, s, d, "", 10) for n, s, d in (line.split() for line in sys.argv[4].splitlines())]
calls = 0
def killing(name, original):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    return call
for name in ("fsync", "replace", "rename", "open", "fchmod"):
    setattr(os, name, killing(name, getattr(os, name)))
store.import_copy(copy, folder, files=table)
"""


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_kill_at_a_file_operation_leaves_only_whole_files(tmp_path, tiny, copy, stop):
    table = "\n".join(f"{file.name} {file.split} {file.sha256}" for file in tiny.files)
    folder = tmp_path / "to"
    done = subprocess.run([sys.executable, "-c", KILLED, folder, copy, str(stop), table], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    for name in visible(folder) if folder.exists() else ():
        assert (folder / name).read_bytes() == tiny.contents[name]
    import_copy(copy, folder, files=tiny.files)
    cifar10.verify(folder, tiny.files)


def test_full_disk_is_said_and_leaves_nothing_half_written(tmp_path, tiny, copy, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    # The folder stands already: a new one would be refused, and would go again, before the first file.
    (tmp_path / "to").mkdir()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResourceError, match="no space left to write"):
        import_copy(copy, tmp_path / "to", files=tiny.files)
    assert visible(tmp_path / "to") == []


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_flipped_byte_of_an_archive_never_reaches_a_final_name(tmp_path, tiny, write_tar, share):
    members = {f"cifar-10-batches-bin/{name}": content for name, content in tiny.contents.items()}
    path = write_tar(tmp_path / "a.tar.gz", members)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(DataError):
        import_copy(path, tmp_path / "to", files=tiny.files)
    for name in visible(tmp_path / "to"):
        assert (tmp_path / "to" / name).read_bytes() == tiny.contents[name]
