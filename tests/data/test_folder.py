from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainloop.data import folder
from trainloop.errors import DataError, ResourceError


def paint(path: Path, value: int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    """Write an image of one grey value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).convert(mode).save(path)
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    paint(tmp_path / "train/zebra/b.png", 10)
    paint(tmp_path / "train/zebra/a.png", 20)
    paint(tmp_path / "train/ant/1.png", 30)
    paint(tmp_path / "test/ant/1.png", 40)
    paint(tmp_path / "test/zebra/1.png", 50)
    return tmp_path


def message_of(root: Path, image_size: int | None = None) -> str:
    with pytest.raises(DataError) as caught:
        folder.read(root, image_size)
    return str(caught.value)


def test_classes_are_sorted(root):
    assert folder.read(root).classes == ("ant", "zebra")


def test_images_are_ordered_by_class_then_name(root):
    train = folder.read(root).splits["train"]
    assert train.images[:, 0, 0, 0].tolist() == [30, 20, 10]
    assert train.labels.tolist() == [0, 1, 1]


def test_images_are_channels_first(root):
    assert folder.read(root).splits["train"].images.shape == (3, 3, 6, 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_kinds_of_images_become_rgb(root, mode):
    paint(root / "train/ant/1.png", 255, mode=mode)
    image = folder.read(root).splits["train"].images[0]
    assert image.shape == (3, 6, 8)
    assert image.min() == 255


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "bmp", "webp", "ppm"])
def test_other_formats_are_read(root, suffix):
    (root / "train/ant/1.png").unlink()
    paint(root / f"train/ant/1.{suffix}", 30)
    assert abs(int(folder.read(root).splits["train"].images[0, 0, 0, 0]) - 30) <= 2


def test_what_systems_leave_is_ignored(root):
    for name in ("train/.DS_Store", "train/ant/Thumbs.db", "test/ant/.hidden.png"):
        (root / name).write_bytes(b"x")
    assert len(folder.read(root).splits["train"].labels) == 3


def test_image_size_resizes_every_image(root):
    paint(root / "train/ant/1.png", 30, size=(100, 60))
    splits = folder.read(root, 16).splits
    assert splits["train"].images.shape == (3, 3, 16, 16)
    assert splits["train"].images[:, 0, 8, 8].tolist() == [30, 20, 10]


def test_digest_is_the_same_each_time(root):
    assert folder.read(root).digest == folder.read(root).digest


@pytest.mark.parametrize("change", ["pixel", "name", "class", "split"])
def test_digest_follows_every_change(root, change):
    before = folder.read(root).digest
    match change:
        case "pixel":
            paint(root / "train/ant/1.png", 31)
        case "name":
            (root / "train/ant/1.png").rename(root / "train/ant/2.png")
        case "class":
            (root / "train/zebra/b.png").rename(root / "train/ant/b.png")
        case "split":
            (root / "train/zebra/b.png").rename(root / "test/zebra/b.png")
    assert folder.read(root).digest != before


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_split_is_named(root, split):
    (root / split).rename(root / "elsewhere")
    message = message_of(root)
    assert f"{root / split}: the folder of images has no {split} folder" in message
    assert "found: no such folder" in message
    assert "set data.path to the folder that holds train and test" in message


def test_class_of_the_test_set_must_be_known(root):
    paint(root / "test/bee/1.png", 60)
    message = message_of(root)
    assert f"{root / 'test/bee'}: the class 'bee' of the test set is not in the training set" in message
    assert "expected: ant, zebra" in message


def test_empty_class_is_named(root):
    (root / "train/bee").mkdir()
    message = message_of(root)
    assert f"{root / 'train/bee'}: the class 'bee' has no train images" in message
    assert "found: an empty folder" in message


def test_class_without_test_images_is_named(root):
    (root / "test/ant/1.png").unlink()
    assert f"{root / 'test/ant'}: the class 'ant' has no test images" in message_of(root)


def test_one_class_is_too_few(tmp_path):
    paint(tmp_path / "train/ant/1.png", 1)
    paint(tmp_path / "test/ant/1.png", 2)
    message = message_of(tmp_path)
    assert "fewer than two classes" in message
    assert "found: ant" in message


def test_another_size_is_named_with_both(root):
    paint(root / "test/zebra/1.png", 50, size=(9, 6))
    message = message_of(root)
    assert f"{root / 'test/zebra/1.png'}: the image has another size than the first" in message
    assert "found: 9 × 6" in message
    assert f"expected: 8 × 6, as {root / 'train/ant/1.png'}" in message
    assert "set data.image_size" in message


def test_corrupt_images_are_all_named(root):
    (root / "train/zebra/a.png").write_bytes(b"not an image")
    (root / "train/zebra/b.png").write_bytes((root / "train/zebra/b.png").read_bytes()[:50])
    with pytest.raises(DataError) as caught:
        folder.read(root)
    assert [fault.where for fault in caught.value.faults] == [
        str(root / "train/zebra/a.png"),
        str(root / "train/zebra/b.png"),
    ]
    assert {fault.what for fault in caught.value.faults} == {"the image cannot be read"}


def test_sixteen_bit_images_are_refused(root):
    Image.fromarray(np.full((6, 8), 1000, np.uint16)).save(root / "train/ant/1.png")
    message = message_of(root)
    assert f"{root / 'train/ant/1.png'}: the image cannot be read" in message
    assert "8 × 6 pixels, kind I;16" in message


def test_huge_image_is_refused_by_its_header(root, monkeypatch):
    monkeypatch.setattr(folder, "MAX_PIXELS", 47)
    assert "found: 8 × 6 pixels, kind RGB" in message_of(root)


@pytest.mark.parametrize("name", ["notes.txt", "image.gif", "image"])
def test_file_of_another_kind_is_named(root, name):
    (root / "train/ant" / name).write_bytes(b"x")
    message = message_of(root)
    assert f"{root / 'train/ant' / name}: not an image file" in message
    assert ".png, .jpg" in message


def test_folder_inside_a_class_is_named(root):
    (root / "train/ant/more.png").mkdir()
    assert f"{root / 'train/ant/more.png'}: not an image file" in message_of(root)


def test_image_in_both_sets_is_named_with_its_twin(root):
    paint(root / "test/zebra/1.png", 20)
    message = message_of(root)
    assert f"{root / 'test/zebra/1.png'}: the same image is in the training and in the test set" in message
    assert f"found: {root / 'train/zebra/a.png'}" in message


def test_names_that_are_not_unicode_are_read(root):
    paint(root / "train/ant/1.png", 30).rename(os.fsdecode(os.fsencode(root / "train/ant") + b"/\xff.png"))
    assert len(folder.read(root).digest) == 64


def test_images_that_do_not_fit_in_memory_are_refused(root, monkeypatch):
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(ResourceError, match="the images do not fit in memory") as caught:
        folder.read(root)
    assert "3 images of 8 × 6 pixels" in str(caught.value)
    assert "set a smaller data.image_size" in str(caught.value)
