"""What a checkpoint says of itself: its manifest, whether its files are those of the manifest, and ``state.json``.

Needs no torch, so that many checkpoints can be looked at quickly; the tensors are read in ``folder.py``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainloop.checkpoint.layout import SCHEMA_VERSION, Facts
from trainloop.checkpoint.places import folder_name
from trainloop.errors import CheckpointError
from trainloop.files import plain_size, read_plain

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "MANIFEST.json"
LARGEST_JSON = 64_000_000
"""bytes; more than any run needs, and little enough to read"""


class FileFacts(BaseModel):
    """What the manifest says of a file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """``MANIFEST.json``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    schema_version: int
    name: str
    files: dict[str, FileFacts]


def verify(path: Path) -> dict[str, bytes]:
    """Read the files of a checkpoint and compare them with its manifest.

    Returns:
        the content of each file but the manifest, by name.

    Raises:
        CheckpointError: a file is missing, or is not what the manifest says; the message names it.
    """
    manifest = _manifest(path)
    contents = {}
    for name, facts in manifest.files.items():
        contents[name] = _verified(path / name, facts)
    return contents


def glance(path: Path) -> Facts:
    """Read ``state.json`` and the manifest, and look whether the tensors have their size; these are not read.

    Raises:
        CheckpointError: as :func:`verify` and :func:`read_facts`, but for what only reading the tensors would show.
    """
    manifest = _manifest(path)
    _require_size(path / TENSORS, manifest.files[TENSORS].bytes)
    return read_facts(path, _verified(path / STATE, manifest.files[STATE]))


def read_facts(path: Path, content: bytes) -> Facts:
    """Read ``state.json`` of a checkpoint.

    Args:
        path: the checkpoint.
        content: of the file.

    Raises:
        CheckpointError: it has not the fields of this version, or speaks of another step than the folder's name.
    """
    try:
        facts = Facts.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(path / STATE, f"{place}: {first['msg']}", "the fields of this version") from error
    position = facts.position
    if folder_name(position.step, epoch_closed=position.epoch_closed) != path.name:
        raise damaged(path / STATE, f"step {position.step}", path.name)
    return facts


def damaged(where: Path, found: str, expected: str) -> CheckpointError:
    """Return the error for a checkpoint that is not what it was."""
    return CheckpointError("the checkpoint is damaged", where=str(where), found=found, expected=expected)


def _manifest(path: Path) -> Manifest:
    if path.is_symlink():
        raise damaged(path, "a link", "a folder")
    content = _content(path / MANIFEST, LARGEST_JSON)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise damaged(path / MANIFEST, f"{place}: {first['msg']}", "the manifest of a checkpoint") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise CheckpointError(
            "the checkpoint is of another version of trainloop",
            where=str(path / MANIFEST),
            found=f"format {manifest.schema_version}",
            expected=f"format {SCHEMA_VERSION}",
            help="go on with the version that wrote it (env.json of the run names it)",
        )
    if set(manifest.files) != {TENSORS, STATE}:
        raise damaged(path / MANIFEST, f"files {', '.join(sorted(manifest.files))}", f"files {STATE}, {TENSORS}")
    if manifest.name != path.name:
        raise damaged(path, f"the checkpoint {manifest.name} under another name", path.name)
    return manifest


def _verified(file: Path, facts: FileFacts) -> bytes:
    _require_size(file, facts.bytes)
    content = _content(file, facts.bytes)
    found = hashlib.sha256(content).hexdigest()
    if found != facts.sha256:
        # A manifest with one wrong digit: the whole says more than two equal beginnings.
        shown = 16 if found[:16] != facts.sha256[:16] else 64
        raise damaged(file, f"SHA-256 {found[:shown]}…", f"{facts.sha256[:shown]}…")
    return content


def _require_size(file: Path, expected: int) -> None:
    try:
        size = plain_size(file)
    except OSError as error:
        raise damaged(file, error.strerror or str(error), "a file that can be read") from error
    if size != expected:
        raise damaged(file, f"{size:,} bytes", f"{expected:,} bytes")


def _content(file: Path, limit: int) -> bytes:
    """Read a file, but not more than it should have."""
    try:
        return read_plain(file, limit)
    except OSError as error:
        raise damaged(file, error.strerror or str(error), "a file that can be read") from error
    except (MemoryError, OverflowError) as error:
        raise damaged(file, f"{limit:,} bytes, more than the memory takes", "a file that can be read") from error
