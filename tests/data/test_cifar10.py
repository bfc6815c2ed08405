from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from trainloop.data import cifar10
from trainloop.data.cifar10 import FILES, RECORD_BYTES, BatchFile
from trainloop.errors import DataError


@pytest.fixture
def stored(tmp_path, tiny, write_folder) -> Path:
    return write_folder(tmp_path / "cifar10", tiny.contents)


def changed(path: Path, offset: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] = value
    path.write_bytes(bytes(content))


def fault_of(folder: Path, files) -> str:
    with pytest.raises(DataError) as caught:
        cifar10.verify(folder, files)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_table_is_that_of_the_official_distribution():
    assert [file.name for file in FILES] == [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    assert {file.size for file in FILES} == {30_730_000}
    assert FILES[0].sha256 == "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"
    assert FILES[5].md5 == "803d5f7f4d78ea53de84dbe85f74fb6d"
    assert all(len(file.sha256) == 64 and len(file.md5) == 32 for file in FILES)


def test_read_gives_the_records_in_order(stored, tiny):
    train = cifar10.read(stored, tiny.files)["train"]
    np.testing.assert_array_equal(train.images[10:], tiny.pixels(tiny.files[1]))
    assert train.labels.tolist() == tiny.labels(tiny.files[0]) + tiny.labels(tiny.files[1])


def test_read_keeps_train_and_test_apart(stored, tiny):
    test = cifar10.read(stored, tiny.files)["test"]
    np.testing.assert_array_equal(test.images, tiny.pixels(tiny.files[2]))


def test_verify_accepts_what_is_right(stored, tiny):
    cifar10.verify(stored, tiny.files)


def test_missing_folder_says_how_to_get_the_data(tmp_path, tiny):
    message = fault_of(tmp_path / "nowhere", tiny.files)
    assert "no CIFAR-10 here" in message
    assert f"{tmp_path / 'nowhere'}" in message
    assert "`trainloop data fetch`" in message
    assert "`trainloop data import PATH`" in message


def test_missing_file_is_named(stored, tiny):
    (stored / "test_batch.bin").unlink()
    assert f"{stored / 'test_batch.bin'}: the file is missing" in fault_of(stored, tiny.files)


def test_truncated_file_is_named_with_both_sizes(stored, tiny):
    (stored / "data_batch_2.bin").write_bytes(tiny.contents["data_batch_2.bin"][:-1])
    message = fault_of(stored, tiny.files)
    assert f"{stored / 'data_batch_2.bin'}: the file is truncated" in message
    assert "found: 30,729 bytes" in message
    assert "expected: 30,730 bytes" in message


def test_too_long_file_is_named(stored, tiny):
    (stored / "data_batch_2.bin").write_bytes(tiny.contents["data_batch_2.bin"] + b"x")
    assert "data_batch_2.bin: the file is too long" in fault_of(stored, tiny.files)


def test_one_flipped_byte_is_found(stored, tiny):
    path = stored / "data_batch_1.bin"
    changed(path, 100, path.read_bytes()[100] ^ 1)
    message = fault_of(stored, tiny.files)
    assert f"{path}: the content is not CIFAR-10's" in message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in message
    assert tiny.files[0].sha256 in message
    assert "run `trainloop data fetch`" in message


def test_label_out_of_range_names_file_and_record(stored, tiny):
    path = stored / "data_batch_1.bin"
    changed(path, 4 * RECORD_BYTES, 200)
    message = fault_of(stored, tiny.files)
    assert f"{path}: the label of record 4 is out of range" in message
    assert "found: 200" in message
    assert "expected: 0 to 9" in message


def test_swapped_files_are_named_by_what_they_hold(stored, tiny):
    (stored / "data_batch_1.bin").write_bytes(tiny.contents["test_batch.bin"])
    message = fault_of(stored, tiny.files)
    assert "data_batch_1.bin: the file holds what belongs in test_batch.bin" in message


def test_all_wrong_files_are_reported_at_once(stored, tiny):
    (stored / "data_batch_1.bin").unlink()
    (stored / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        cifar10.verify(stored, tiny.files)
    assert [Path(fault.where).name for fault in caught.value.faults] == ["data_batch_1.bin", "test_batch.bin"]


def test_read_refuses_what_verify_refuses(stored, tiny):
    (stored / "data_batch_2.bin").write_bytes(b"short")
    with pytest.raises(DataError, match="the file is truncated"):
        cifar10.read(stored, tiny.files)


def test_folder_in_place_of_a_file_is_named(stored, tiny):
    (stored / "test_batch.bin").unlink()
    (stored / "test_batch.bin").mkdir()
    assert "cannot read test_batch.bin" in fault_of(stored, tiny.files)


@pytest.mark.parametrize("label", [10, -1, -100, 3.0, float("nan"), True, None, "3"])
def test_bad_label_refuses(label):
    fault = cifar10.bad_label([0, 9, label], "file", "help")
    assert fault is not None
    assert fault.what == "the label of record 2 is out of range"
    assert fault.found == repr(label)


def test_default_folder_is_below_the_chosen_one(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAINLOOP_DATA", str(tmp_path))
    assert cifar10.default_folder() == tmp_path / "cifar10"


def test_default_folder_is_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TRAINLOOP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cifar10.default_folder() == tmp_path / "trainloop" / "cifar10"


@pytest.mark.parametrize("relative", ["", "relative/cache"])
def test_relative_cache_folder_is_ignored(monkeypatch, tmp_path, relative):
    monkeypatch.delenv("TRAINLOOP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cifar10.default_folder() == tmp_path / ".cache" / "trainloop" / "cifar10"


def test_set_digest_is_that_of_the_listing():
    files = [BatchFile("a.bin", "train", "00", ""), BatchFile("b.bin", "test", "11", "")]
    assert cifar10.set_digest(files) == hashlib.sha256(b"00  a.bin\n11  b.bin\n").hexdigest()
