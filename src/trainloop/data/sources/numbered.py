"""CIFAR-10 as a folder of single images: ``train/<class>/N.png`` and ``test/<class>/N.png``.

The name of each file begins with the official index of the image in its split, counted from 0, with or without leading
zeros; ``_`` and more may follow (``train/frog/00000.png``, ``train/frog/0_frog.png``). Only so can the images be put in
the official order, and only in that order do the digests say whether they are CIFAR-10's. A folder with other
names can still be trained on, as a data set of its own (``data.dataset: folder``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainloop.data.cifar10 import CLASSES, PIXEL_BYTES, SIDE, SPLITS, BatchFile, Split
from trainloop.errors import DataError

NAME = re.compile(r"(\d{1,9})(_.*)?\.png", re.IGNORECASE | re.ASCII)
HOW_ELSE = "to train on other images, set data.dataset: folder and data.path"


def contents(path: Path, files: Sequence[BatchFile]) -> Iterator[tuple[BatchFile, bytes]]:
    """Convert a folder of numbered images.

    Args:
        path: holds ``train`` and ``test``.
        files: the binary files that must come out.

    Yields:
        Each binary file and its content, not verified yet.

    Raises:
        DataError: a class or a name is not of this form, an index is missing, twice or too large, an image unreadable.
    """
    listed = {
        split: index_of(path / split, sum(file.records for file in files if file.split == split)) for split in SPLITS
    }
    done: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    for file in files:
        begin = done[file.split]
        done[file.split] = begin + file.records
        images = listed[file.split][begin : done[file.split]]
        yield file, b"".join(bytes([label]) + _pixels(image) for image, label in images)


def index_of(folder: Path, count: int) -> list[tuple[Path, int]]:
    """List the images of one split in official order, with their labels."""
    found: dict[int, tuple[Path, int]] = {}
    for image, label in _images(folder):
        match = NAME.fullmatch(image.name)
        index = int(match[1]) if match else None
        if index is None or index >= count:
            raise DataError(
                "the name does not begin with an official index",
                where=str(image),
                found=image.name,
                expected=f"a number from 0 to {count - 1} and .png",
                help=HOW_ELSE,
            )
        if index in found:
            raise DataError(
                "two images have the same index", where=str(image), found=str(found[index][0]), help=HOW_ELSE
            )
        found[index] = image, label
    if len(found) != count:
        absent = next(index for index in range(count) if index not in found)
        raise DataError(
            "an image is missing", where=str(folder), found=f"no image of index {absent}", expected=f"{count:,} images"
        )
    return [found[index] for index in range(count)]


def _images(folder: Path) -> Iterator[tuple[Path, int]]:
    for class_folder in sorted(folder.iterdir()):
        if class_folder.name.startswith("."):
            continue
        if class_folder.name not in CLASSES or not class_folder.is_dir():
            raise DataError(
                "not a class of CIFAR-10", where=str(class_folder), expected=", ".join(CLASSES), help=HOW_ELSE
            )
        label = CLASSES.index(class_folder.name)
        yield from ((image, label) for image in sorted(class_folder.iterdir()) if not image.name.startswith("."))


def _pixels(image: Path) -> bytes:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    expected = f"a PNG of {SIDE} × {SIDE} pixels, RGB"
    try:
        with Image.open(image, formats=["PNG"]) as opened:
            if opened.size != (SIDE, SIDE) or opened.mode != "RGB":
                found = f"{opened.size[0]} × {opened.size[1]} pixels, {opened.mode}"
                raise DataError("the image has a wrong size or kind", where=str(image), found=found, expected=expected)
            pixels = np.asarray(opened).transpose(2, 0, 1).tobytes()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError("the image cannot be read", where=str(image), found=str(error), expected=expected) from error
    assert len(pixels) == PIXEL_BYTES
    return pixels
