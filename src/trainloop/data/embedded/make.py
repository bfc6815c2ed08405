"""Make the embedded set from the verified full one: ``python -m trainloop.data.embedded.make --from FOLDER``.

The rule: within each split and each class, the records (label byte and 3,072 pixel bytes) are ordered by their SHA-256,
equal ones by official index; the first 200 of the training images and the first 50 of the test images of each
class are taken. Nothing is chosen by hand, and nobody can draw other images by the same rule.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainloop import files
from trainloop.data import cifar10, embedded
from trainloop.data.cifar10 import CLASSES, SPLITS, ImageArrays, Split
from trainloop.errors import TrainloopError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PER_CLASS: dict[Split, int] = {"train": 200, "test": 50}


def draw(arrays: ImageArrays, per_class: int) -> NDArray[np.int64]:
    """Choose images by the rule above.

    Args:
        arrays: the images to draw from.
        per_class: how many of each class.

    Returns:
        Indices into ``arrays``, shape (10 · per_class,): the first of each class in class order, then the second of
        each, and so on.
    """
    import numpy as np

    columns = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(arrays.labels == label)
        ordered = sorted((_record_digest(arrays, index), index) for index in members.tolist())
        columns.append([index for _, index in ordered[:per_class]])
    return np.array(columns, np.int64).T.reshape(-1)


def make(source: Path, to: Path) -> str:
    """Draw the images from the verified full set and write the two sheets and the index.

    Args:
        source: folder of the six binary files.
        to: folder to write into.

    Returns:
        The content digest of what was written.

    Raises:
        DataError: the full set is missing or damaged.
    """
    full = cifar10.read(source)
    indices = {split: draw(full[split], PER_CLASS[split]) for split in SPLITS}
    drawn = {split: ImageArrays(full[split].images[i], full[split].labels[i]) for split, i in indices.items()}
    for split in SPLITS:
        files.write_bytes(to / embedded.SHEET_NAMES[split], encode_sheet(drawn[split].images))
    files.write_text(to / embedded.INDEX_NAME, index_text(indices, drawn))
    return embedded.content_digest(drawn)


def encode_sheet(images: NDArray[np.uint8]) -> bytes:
    """Return images (N, 3, 32, 32) as the bytes of a PNG sheet."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(embedded.to_sheet(images)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def index_text(indices: dict[Split, NDArray[np.int64]], drawn: dict[Split, ImageArrays]) -> str:
    """Return the text of ``index.json``: official indices and labels of each split."""
    entries = [
        f'  "{split}": {{\n    "indices": {json.dumps(indices[split].tolist())},\n'
        f'    "labels": {json.dumps(drawn[split].labels.tolist())}\n  }}'
        for split in SPLITS
    ]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 1 when the content is not the one that the package expects."""
    parser = argparse.ArgumentParser(description="Make the embedded images from the verified full set.")
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder of the six binary files")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent, help="default: the package itself")
    options = parser.parse_args(arguments)
    try:
        digest = make(options.source, options.to)
    except TrainloopError as error:
        print(error)
        return error.exit_code
    print(f"wrote {options.to}: content {digest}, expected {embedded.DIGEST}")
    return 0 if digest == embedded.DIGEST else 1


def _record_digest(arrays: ImageArrays, index: int) -> bytes:
    return hashlib.sha256(arrays.labels[index].tobytes() + arrays.images[index].tobytes()).digest()


if __name__ == "__main__":
    raise SystemExit(main())
