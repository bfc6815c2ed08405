"""CIFAR-10 on disk: the binary layout, the digests it is trusted by, and where it lies.

Six files of 10,000 records; a record is 1 label byte and 3,072 pixel bytes: 1,024 red, 1,024 green, 1,024 blue, each
row by row. The layout holds no pickle, so it is the one form that trainloop keeps. A file counts only when its
size and SHA-256 are those of :data:`FILES`, wherever its bytes came from.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trainloop.errors import DataError, Fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.49139968, 0.48215841, 0.44653091)
STD = (0.24703223, 0.24348513, 0.26158784)

SIDE = 32
IMAGE_SHAPE = (3, SIDE, SIDE)
PIXEL_BYTES = 3 * SIDE * SIDE
RECORD_BYTES = 1 + PIXEL_BYTES

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

HOW_TO_GET = "run `trainloop data fetch`, or `trainloop data import PATH` with a copy that you have"


@dataclass(frozen=True)
class BatchFile:
    """One file of the binary layout.

    Args:
        name: file name.
        split: the set its images belong to.
        sha256: hex digest of the whole file.
        md5: likewise; published beside the official distribution, never trusted.
        records: number of images.
    """

    name: str
    split: Split
    sha256: str
    md5: str
    records: int = 10_000

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.records * RECORD_BYTES

    @property
    def stem(self) -> str:
        """The name without ``.bin``, as the other distributions call the same batch."""
        return self.name.removesuffix(".bin")


FILES = (
    BatchFile(
        "data_batch_1.bin",
        "train",
        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "5dd7e06a14cb22eb9f671a540d1b7c25",
    ),
    BatchFile(
        "data_batch_2.bin",
        "train",
        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "5ea93a67294ea407fff1d09f752e9692",
    ),
    BatchFile(
        "data_batch_3.bin",
        "train",
        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
    ),
    BatchFile(
        "data_batch_4.bin",
        "train",
        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
    ),
    BatchFile(
        "data_batch_5.bin",
        "train",
        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "53f37980c15c3d472c316c40844f3f0d",
    ),
    BatchFile(
        "test_batch.bin",
        "test",
        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ),
)


@dataclass(frozen=True)
class ImageArrays:
    """Images and labels as NumPy arrays.

    Args:
        images: uint8, shape (N, 3, 32, 32), C-contiguous.
        labels: uint8, shape (N,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def data_home() -> Path:
    """Return the folder of all downloaded data: ``$TRAINLOOP_DATA``, else ``trainloop`` in the user's cache folder."""
    chosen = os.environ.get("TRAINLOOP_DATA")
    if chosen:
        return Path(chosen).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    # The XDG rules say that a relative path there is to be ignored.
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "trainloop"


def default_folder() -> Path:
    """Return the folder of the six binary files when a config or command names none: ``cifar10`` in data_home()."""
    return data_home() / "cifar10"


def missing(folder: Path, files: Sequence[BatchFile] = FILES) -> list[BatchFile]:
    """Return the files that are not in ``folder`` at all."""
    return [file for file in files if not (folder / file.name).exists()]


def verify(folder: Path, files: Sequence[BatchFile] = FILES) -> None:
    """Check presence, size and SHA-256 of every file.

    Raises:
        DataError: one fault for each file that is missing, truncated or changed.
    """
    for _ in _verified(folder, files):
        pass


def read(folder: Path, files: Sequence[BatchFile] = FILES) -> dict[Split, ImageArrays]:
    """Read and verify the whole set.

    Args:
        folder: holds the binary files.
        files: what they must be.

    Returns:
        Images and labels of "train" and "test", in official order.

    Raises:
        DataError: one fault for each file that is missing, truncated or changed.
    """
    import numpy as np

    images, labels = {}, {}
    for split in SPLITS:
        count = sum(file.records for file in files if file.split == split)
        images[split] = np.empty((count, PIXEL_BYTES), np.uint8)
        labels[split] = np.empty(count, np.uint8)
    filled = dict.fromkeys(SPLITS, 0)
    for file, content in _verified(folder, files):
        rows = slice(filled[file.split], filled[file.split] + file.records)
        records = np.frombuffer(content, np.uint8).reshape(file.records, RECORD_BYTES)
        labels[file.split][rows], images[file.split][rows] = records[:, 0], records[:, 1:]
        filled[file.split] = rows.stop
    return {split: ImageArrays(images[split].reshape(-1, *IMAGE_SHAPE), labels[split]) for split in SPLITS}


def _verified(folder: Path, files: Sequence[BatchFile]) -> Iterator[tuple[BatchFile, bytes]]:
    """Yield each file with its verified content; at the end raise the faults of all that are not right."""
    if len(missing(folder, files)) == len(files):
        found = "no such folder" if not folder.exists() else f"no {files[0].name}, nor any other of its files"
        raise DataError("no CIFAR-10 here", where=str(folder), found=found, help=HOW_TO_GET)
    faults = []
    for file in files:
        content = _content(folder / file.name, file.size)
        fault = find_fault(content, file, files, where=str(folder / file.name))
        if fault:
            faults.append(fault)
        elif content is not None:
            yield file, content
    if faults:
        raise DataError(faults)


def _content(path: Path, size: int) -> bytes | None:
    """Return at most ``size + 1`` bytes of a file (enough to see that it is too long), or None when there is none."""
    try:
        with path.open("rb") as stream:
            return stream.read(size + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path.name}", where=str(path), found=error.strerror or str(error)) from error


def find_fault(
    content: bytes | None, file: BatchFile, files: Sequence[BatchFile], *, where: str, help: str = HOW_TO_GET
) -> Fault | None:
    """Say what is wrong with the content of one file, or None when it is right.

    Args:
        content: the bytes, at least one more than ``file.size`` when there are too many; None when there is no file.
        file: what it must be.
        files: the whole set, so that swapped files are named.
        where: the place to name.
        help: how to go on.
    """
    if content is None:
        return Fault("the file is missing", where, help=HOW_TO_GET)
    if len(content) < file.size:
        return Fault("the file is truncated", where, f"{len(content):,} bytes", f"{file.size:,} bytes", help)
    if len(content) > file.size:
        return Fault("the file is too long", where, f"more than {file.size:,} bytes", f"{file.size:,} bytes", help)
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return None
    twin = next((other.name for other in files if other.sha256 == digest), None)
    if twin:
        return Fault(f"the file holds what belongs in {twin}", where, f"SHA-256 {digest}", file.sha256, help)
    return bad_label(content[::RECORD_BYTES], where, help) or Fault(
        "the content is not CIFAR-10's", where, f"SHA-256 {digest}", file.sha256, help
    )


def bad_label(labels: Sequence[int], where: str, help: str) -> Fault | None:
    """Name the first record whose label is outside the ten classes, or return None."""
    for index, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < len(CLASSES):
            what = f"the label of record {index} is out of range"
            return Fault(what, where, repr(label), f"0 to {len(CLASSES) - 1}", help)
    return None


def set_digest(files: Sequence[BatchFile] = FILES) -> str:
    """Return the SHA-256 of the list of the files' digests (what ``sha256sum *.bin`` prints): one name for the set."""
    listing = "".join(f"{file.sha256}  {file.name}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()
