"""A tiny synthetic CIFAR-10 with digests of its own, in every form in which the real one is found."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainloop.data.cifar10 import CLASSES, PIXEL_BYTES, RECORD_BYTES, BatchFile


def python2_pickle(pixels: bytes, labels: list[int], records: int) -> bytes:
    """Write a batch as Python 2 with NumPy 1 did: protocol 2, byte strings, old module names."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"M" + struct.pack("<H", records) + b"M" + struct.pack("<H", PIXEL_BYTES) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    state = b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x01(" + text(b"data") + array + state + text(b"labels") + listed + b"u."


@dataclass(frozen=True)
class TinyCifar:
    """Three files of ten records each, and their contents."""

    files: tuple[BatchFile, ...]
    contents: dict[str, bytes]

    def pixels(self, file: BatchFile) -> np.ndarray:
        """Return uint8 of shape (10, 3, 32, 32)."""
        records = np.frombuffer(self.contents[file.name], np.uint8).reshape(-1, RECORD_BYTES)
        return records[:, 1:].reshape(-1, 3, 32, 32)

    def labels(self, file: BatchFile) -> list[int]:
        return list(self.contents[file.name][::RECORD_BYTES])

    def binary(self) -> dict[str, bytes]:
        """Return the members of the binary distribution."""
        return {"batches.meta.txt": "\n".join(CLASSES).encode(), **self.contents, "readme.html": b"<html>"}

    def python(self) -> dict[str, bytes]:
        """Return the members of the Python distribution."""
        return {
            file.stem: python2_pickle(self.pixels(file).tobytes(), self.labels(file), file.records)
            for file in self.files
        }

    def sheets(self) -> dict[str, bytes]:
        """Return the members of the npm package."""
        members = {"package.json": b"{}"}
        for file in self.files:
            rows = self.pixels(file).reshape(-1, 3, 1024).transpose(0, 2, 1)
            members[f"{file.stem}.png"] = png(np.ascontiguousarray(rows))
        for split in ("train", "test"):
            labels = [label for file in self.files if file.split == split for label in self.labels(file)]
            members[f"{split}_lables.json"] = json.dumps(labels).encode()
        return members

    def images(self, name: str = "{index}.png") -> dict[str, bytes]:
        """Return single images; ``name`` is the pattern of their file names."""
        members = {}
        for split in ("train", "test"):
            index = 0
            for file in (file for file in self.files if file.split == split):
                for image, label in zip(self.pixels(file), self.labels(file), strict=True):
                    full = f"{split}/{CLASSES[label]}/" + name.format(index=index, label=CLASSES[label])
                    members[full] = png(np.ascontiguousarray(image.transpose(1, 2, 0)))
                    index += 1
        return members


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def make_tiny() -> TinyCifar:
    generator = np.random.default_rng(7)
    files, contents = [], {}
    for name, split in (("data_batch_1.bin", "train"), ("data_batch_2.bin", "train"), ("test_batch.bin", "test")):
        records = generator.integers(0, 256, (10, RECORD_BYTES), dtype=np.uint8)
        records[:, 0] = generator.permutation(10)
        contents[name] = records.tobytes()
        sha256, md5 = (hashlib.new(kind, contents[name]).hexdigest() for kind in ("sha256", "md5"))
        files.append(BatchFile(name, split, sha256, md5, records=10))
    return TinyCifar(tuple(files), contents)


@pytest.fixture(scope="session")
def tiny() -> TinyCifar:
    return make_tiny()


def _write_folder(folder: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _write_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


@pytest.fixture(scope="session")
def write_folder():
    return _write_folder


@pytest.fixture(scope="session")
def write_tar():
    return _write_tar


@pytest.fixture(scope="session")
def make_png():
    return png
