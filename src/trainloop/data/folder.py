"""A folder of images as a data set of its own: ``train/<class>/…`` and ``test/<class>/…``.

The names of the class folders, sorted, are the classes. Images of any kind become RGB. They must agree in size, unless
``data.image_size`` is set: then each is resized to it here, as it is read (bilinear, antialiased), so that photographs
of any size can be trained on and never stand in memory as a whole.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainloop.data.cifar10 import SPLITS, Split
from trainloop.errors import DataError, Fault, ResourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PillowImage

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP", ".ppm": "PPM"}
# What operating systems put into folders by themselves.
IGNORED = frozenset({"Thumbs.db", "desktop.ini"})
# Kinds with more than 8 bits a channel would lose most of their content.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
MAX_PIXELS = 50_000_000
MAX_FAULTS = 20


@dataclass(frozen=True)
class FolderSplit:
    """The images of one split.

    Args:
        files: in the order of the images: by class, then by name.
        images: uint8, shape (N, 3, H, W).
        labels: int64, shape (N,).
    """

    files: tuple[Path, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class FolderImages:
    """A folder of images, read.

    Args:
        classes: names in label order.
        splits: "train" and "test".
        digest: SHA-256 over classes, names, labels, shapes and pixels.
    """

    classes: tuple[str, ...]
    splits: dict[Split, FolderSplit]
    digest: str


def read(root: Path, image_size: int | None = None) -> FolderImages:
    """Read a folder of images.

    Args:
        root: holds ``train`` and ``test``.
        image_size: side in pixels that every image is resized to; None when all have one size.

    Returns:
        All images, with a digest of their content.

    Raises:
        DataError: a folder is missing or empty, a class of the test set is unknown, an image is unreadable or of
            another size than the first, or the same image is in both splits.
        ResourceError: the images do not fit in memory.
    """
    classes = _classes(root)
    listed = {split: _list_split(root / split, classes) for split in SPLITS}
    first = listed["train"][0][0]
    size = (image_size, image_size) if image_size else load_image(first, None).size
    splits = {split: _read_split(listed[split], size, image_size is not None, first) for split in SPLITS}
    _refuse_overlap(splits)
    return FolderImages(classes, splits, _digest(root, classes, splits))


def _classes(root: Path) -> tuple[str, ...]:
    for split in SPLITS:
        if not (root / split).is_dir():
            raise DataError(
                f"the folder of images has no {split} folder",
                where=str(root / split),
                found="no such folder" if not (root / split).exists() else "a file",
                expected="train/<class>/*.png and test/<class>/*.png",
                help="set data.path to the folder that holds train and test",
            )
    names = {split: [entry.name for entry in _entries(root / split)] for split in SPLITS}
    classes = tuple(names["train"])
    if len(classes) < 2:
        raise DataError(
            "fewer than two classes",
            where=str(root / "train"),
            found=", ".join(classes) or "none",
            expected="two or more",
        )
    unknown = [name for name in names["test"] if name not in classes]
    if unknown:
        raise DataError(
            f"the class {unknown[0]!r} of the test set is not in the training set",
            where=str(root / "test" / unknown[0]),
            expected=", ".join(classes),
            help="rename the folder, or add training images of this class",
        )
    return classes


def _entries(folder: Path) -> list[Path]:
    """List a folder in the order of the names; what systems put there is left out."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name not in IGNORED)
    return sorted(entries, key=lambda entry: entry.name)


def _list_split(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """List the images of a split with their labels; every class must have some."""
    listed: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        class_folder = folder / name
        images = _entries(class_folder) if class_folder.is_dir() else []
        if not images:
            found = "an empty folder" if class_folder.is_dir() else "no such folder"
            raise DataError(f"the class {name!r} has no {folder.name} images", where=str(class_folder), found=found)
        for image in images:
            if image.suffix.lower() not in FORMATS or image.is_dir():
                found = "a folder" if image.is_dir() else image.name
                raise DataError("not an image file", where=str(image), found=found, expected=", ".join(FORMATS))
        listed += [(image, label) for image in images]
    return listed


def _read_split(listed: Sequence[tuple[Path, int]], size: tuple[int, int], resize: bool, first: Path) -> FolderSplit:
    import numpy as np

    width, height = size
    try:
        images = np.empty((len(listed), 3, height, width), np.uint8)
    except MemoryError as error:
        raise ResourceError(
            "the images do not fit in memory",
            where=str(first.parent.parent),
            found=f"{len(listed):,} images of {width} × {height} pixels",
            help="set a smaller data.image_size",
        ) from error
    faults: list[Fault] = []
    for index, (path, _) in enumerate(listed):
        try:
            image = load_image(path, size if resize else None)
            _check_size(path, image, size, first)
            images[index] = np.asarray(image).transpose(2, 0, 1)
        except DataError as error:
            faults += error.faults
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise DataError(faults)
    return FolderSplit(tuple(path for path, _ in listed), images, np.array([label for _, label in listed], np.int64))


def load_image(path: Path, size: tuple[int, int] | None) -> PillowImage.Image:
    """Decode one image as RGB; resize it when a size is given.

    Only the formats above are tried, whatever the name says: Pillow's reader of PostScript would start a program.

    Args:
        path: the file.
        size: (width, height).

    Raises:
        DataError: it is no image of such a format, or a huge one.
    """
    from PIL import Image

    if not path.is_file():
        raise _unreadable(path, "not a plain file" if path.exists() else "no such file")
    try:
        with warnings.catch_warnings():
            # Pillow warns of doubtful content; here a size limit is checked and damage is an error.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
                if image.width * image.height > MAX_PIXELS or image.mode not in MODES:
                    raise _unreadable(path, f"{image.width} × {image.height} pixels, kind {image.mode}")
                rgb = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, str(error)) from error
    return rgb if size in (None, rgb.size) else rgb.resize(size, Image.Resampling.BILINEAR)


def _unreadable(path: Path, found: str) -> DataError:
    expected = f"an image of 8 bits a channel and at most {MAX_PIXELS:,} pixels"
    return DataError("the image cannot be read", where=str(path), found=found, expected=expected, help="replace it")


def _check_size(path: Path, image: PillowImage.Image, size: tuple[int, int], first: Path) -> None:
    if image.size != size:
        raise DataError(
            "the image has another size than the first",
            where=str(path),
            found=f"{image.width} × {image.height}",
            expected=f"{size[0]} × {size[1]}, as {first}",
            help="set data.image_size, and every image is resized to it",
        )


def _refuse_overlap(splits: dict[Split, FolderSplit]) -> None:
    """Raise when an image of the test set is in the training set too: its accuracy would mean nothing."""
    train = dict(zip(_hashes(splits["train"]), splits["train"].files, strict=True))
    twins = [
        Fault("the same image is in the training and in the test set", str(path), str(train[digest]), help="remove one")
        for digest, path in zip(_hashes(splits["test"]), splits["test"].files, strict=True)
        if digest in train
    ]
    if twins:
        raise DataError(twins[:MAX_FAULTS])


def _hashes(split: FolderSplit) -> Iterator[bytes]:
    return (hashlib.sha256(image.tobytes()).digest() for image in split.images)


def _digest(root: Path, classes: Sequence[str], splits: dict[Split, FolderSplit]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split in SPLITS:
        images = splits[split]
        names = [path.relative_to(root).as_posix() for path in images.files]
        digest.update(repr((split, names, images.labels.tolist(), images.images.shape)).encode())
        digest.update(images.images.tobytes())
    return digest.hexdigest()
