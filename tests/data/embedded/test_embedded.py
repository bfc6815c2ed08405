from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from trainloop.data import embedded
from trainloop.data.cifar10 import RECORD_BYTES
from trainloop.errors import DataError

PACKAGED = ("train.png", "test.png", "index.json")


@pytest.fixture(scope="module")
def arrays():
    return embedded.load()


@pytest.fixture
def copied(tmp_path) -> Path:
    for name in PACKAGED:
        (tmp_path / name).write_bytes((resources.files(embedded) / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(("split", "per_class"), [("train", 200), ("test", 50)])
def test_every_class_has_the_same_number_of_images(arrays, split, per_class):
    assert np.bincount(arrays[split].labels).tolist() == [per_class] * 10


def test_any_ten_images_in_a_row_are_balanced(arrays):
    assert arrays["train"].labels[:20].tolist() == list(range(10)) * 2


def test_images_have_the_shape_of_cifar10(arrays):
    assert arrays["train"].images.shape == (2000, 3, 32, 32)
    assert arrays["test"].images.shape == (500, 3, 32, 32)
    assert arrays["train"].images.dtype == np.uint8
    assert arrays["train"].images.flags.c_contiguous


def test_digest_is_over_the_records(arrays):
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for image, label in zip(arrays[split].images, arrays[split].labels, strict=True):
            record = bytes([label]) + image.tobytes()
            assert len(record) == RECORD_BYTES
            digest.update(record)
    assert digest.hexdigest() == embedded.DIGEST


def test_no_image_is_in_both_sets(arrays):
    train, test = ({image.tobytes() for image in arrays[split].images} for split in ("train", "test"))
    assert not train & test
    assert (len(train), len(test)) == (2000, 500)


def test_the_packaged_files_take_less_than_6_mb():
    folder = resources.files(embedded)
    assert sum(len((folder / name).read_bytes()) for name in PACKAGED) < 6_000_000


def test_the_citation_stands_beside_the_images():
    text = (resources.files(embedded) / "CITATION.md").read_text(encoding="utf-8")
    assert "A. Krizhevsky. *Learning Multiple Layers of Features from Tiny Images.*" in text


def test_sheet_and_back(arrays):
    images = arrays["test"].images
    np.testing.assert_array_equal(embedded.from_sheet(embedded.to_sheet(images)), images)


def test_a_sheet_shows_one_class_a_column(arrays):
    sheet = embedded.to_sheet(arrays["test"].images)
    row, column = 3, 17
    tile = sheet[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32].transpose(2, 0, 1)
    np.testing.assert_array_equal(tile, arrays["test"].images[row * 50 + column])
    assert arrays["test"].labels[row * 50 + column] == column % 10


def test_a_changed_label_is_noticed(copied):
    text = (copied / "index.json").read_text()
    (copied / "index.json").write_text(text.replace('"labels": [0, 1,', '"labels": [1, 1,', 1))
    with pytest.raises(DataError, match="the embedded images are damaged") as caught:
        embedded.load(copied)
    assert embedded.DIGEST in str(caught.value)
    assert "install trainloop again" in str(caught.value)


def test_a_truncated_sheet_is_noticed(copied):
    (copied / "test.png").write_bytes((copied / "test.png").read_bytes()[:100_000])
    with pytest.raises(DataError, match="the embedded images are damaged"):
        embedded.load(copied)


def test_a_missing_file_is_named(copied):
    (copied / "train.png").unlink()
    with pytest.raises(DataError, match=r"FileNotFoundError.*train\.png"):
        embedded.load(copied)
