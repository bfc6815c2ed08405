from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainloop.data.sources import forms
from trainloop.errors import DataError


def read(path: Path, tiny) -> dict[str, bytes]:
    return {file.name: content for file, content in forms.contents(path, tiny.files)}


def message_of(path: Path, tiny) -> str:
    with pytest.raises(DataError) as caught:
        read(path, tiny)
    return str(caught.value)


@pytest.fixture
def root(tmp_path, tiny, write_folder) -> Path:
    return write_folder(tmp_path, tiny.images("{index:05d}.png"))


def first(root: Path) -> Path:
    return next(root.glob("train/*/00000.png"))


@pytest.mark.parametrize("name", ["{index}.png", "{index:05d}.png", "{index}_{label}.png", "{index:05d}.PNG"])
def test_official_order_comes_from_the_names(tmp_path, tiny, write_folder, name):
    assert read(write_folder(tmp_path, tiny.images(name)), tiny) == tiny.contents


def test_hidden_files_are_ignored(root, tiny):
    (root / "train" / ".DS_Store").write_bytes(b"x")
    (first(root).parent / ".hidden").write_bytes(b"x")
    assert read(root, tiny) == tiny.contents


@pytest.mark.parametrize("name", ["frog.png", "20.png", "1.jpg", "-1.png", "1 (2).png", "٣.png"])
def test_name_without_an_official_index_is_named(root, tiny, name):
    first(root).rename(first(root).with_name(name))
    message = message_of(root, tiny)
    assert "the name does not begin with an official index" in message
    assert f"found: {name}" in message
    assert "expected: a number from 0 to 19 and .png" in message
    assert "data.dataset: folder" in message


def test_index_twice_is_named(root, tiny):
    first(root).with_name("0.png").write_bytes(first(root).read_bytes())
    message = message_of(root, tiny)
    assert "two images have the same index" in message
    assert "0.png" in message


def test_missing_image_is_named(root, tiny):
    first(root).unlink()
    message = message_of(root, tiny)
    assert f"{root / 'train'}: an image is missing" in message
    assert "found: no image of index 0" in message
    assert "expected: 20 images" in message


def test_unknown_class_is_named(root, tiny):
    (root / "test" / "bee").mkdir()
    message = message_of(root, tiny)
    assert f"{root / 'test' / 'bee'}: not a class of CIFAR-10" in message
    assert "airplane" in message


def test_image_of_another_size_is_named(root, tiny, make_png):
    path = first(root)
    path.write_bytes(make_png(np.zeros((32, 33, 3), np.uint8)))
    message = message_of(root, tiny)
    assert f"{path}: the image has a wrong size or kind" in message
    assert "found: 33 × 32 pixels, RGB" in message


def test_corrupt_image_is_named(root, tiny):
    path = first(root)
    path.write_bytes(path.read_bytes()[:100])
    assert f"{path}: the image cannot be read" in message_of(root, tiny)
