"""cifar10-mini: 2,000 training and 500 test images of CIFAR-10, inside the package.

Two PNG sheets, 50 tiles of 32×32 a row, and ``index.json`` with the label and the official index (0-based, in its
split) of each tile. Tile ``10·r + c`` is the r-th image drawn of class c, so every column of a sheet shows one class
and any run of ten tiles is balanced. ``make.py`` says how the images are drawn and makes the files again.

PNG was chosen over smaller forms because anyone can look at it: 5.4 MB, against 5.8 MB for one image a row, 5.8 MB
for LZMA of the raw bytes, 4.3 MB for LZMA after a predictor, and 4.2 MB for lossless WebP.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING

from trainloop.data.cifar10 import SIDE, SPLITS, ImageArrays, Split
from trainloop.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    import numpy as np
    from numpy.typing import NDArray

TILES_A_ROW = 50
INDEX_NAME = "index.json"
SHEET_NAMES: dict[Split, str] = {"train": "train.png", "test": "test.png"}

DIGEST = "8076ac95aaa60b1eb3fca3f06bdb725c33b462799a8d94ea4e64df31f36656ac"
"""SHA-256 of all records (label byte, then 3,072 pixel bytes), training images first."""


def load(folder: Traversable | None = None, digest: str = DIGEST) -> dict[Split, ImageArrays]:
    """Read the embedded set.

    Args:
        folder: holds the sheets and the index; default: the package's own.
        digest: the SHA-256 that the content must have.

    Returns:
        Images and labels of "train" and "test".

    Raises:
        DataError: a file is missing, unreadable or not what was packaged.
    """
    folder = folder or resources.files(__name__)
    try:
        index = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        arrays = {split: _read_split(folder, split, index[split]["labels"]) for split in SPLITS}
        found = content_digest(arrays)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}", "three readable files") from error
    if found != digest:
        raise _damaged(folder, f"SHA-256 {found}", digest)
    return arrays


def content_digest(arrays: Mapping[Split, ImageArrays]) -> str:
    """Return the SHA-256 over all records in the binary layout, training images first."""
    import numpy as np

    digest = hashlib.sha256()
    for split in SPLITS:
        pixels = arrays[split].images.reshape(len(arrays[split].labels), -1)
        digest.update(np.concatenate([arrays[split].labels[:, None], pixels], axis=1).tobytes())
    return digest.hexdigest()


def to_sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay images (N, 3, 32, 32) out as tiles; N is a multiple of 50. Returns (N / 50 · 32, 50 · 32, 3)."""
    tiles = images.reshape(-1, TILES_A_ROW, 3, SIDE, SIDE)
    return tiles.transpose(0, 3, 1, 4, 2).reshape(-1, TILES_A_ROW * SIDE, 3)


def from_sheet(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo :func:`to_sheet`."""
    import numpy as np

    tiles = sheet.reshape(-1, SIDE, TILES_A_ROW, SIDE, 3)
    return np.ascontiguousarray(tiles.transpose(0, 2, 4, 1, 3)).reshape(-1, 3, SIDE, SIDE)


def _read_split(folder: Traversable, split: Split, labels: list[int]) -> ImageArrays:
    import numpy as np
    from PIL import Image

    with (folder / SHEET_NAMES[split]).open("rb") as stream, Image.open(stream, formats=["PNG"]) as sheet:
        images = from_sheet(np.asarray(sheet.convert("RGB")))
    return ImageArrays(images, np.array(labels, np.uint8))


def _damaged(folder: Traversable, found: str, expected: str) -> DataError:
    return DataError(
        "the embedded images are damaged",
        where=str(folder),
        found=found,
        expected=expected,
        help="install trainloop again",
    )
