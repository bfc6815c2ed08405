"""One checkpoint on the disk: a folder of three files that say of themselves whether they are whole.

``tensors.safetensors``, ``state.json``, and ``MANIFEST.json`` with the size and the SHA-256 of the other two. The folder is
filled under a hidden name, every file is flushed, it is renamed, and then it is read back and verified: only what has
been verified counts as saved. Nothing in it is ever executed: safetensors holds bytes and shapes, and the JSON is checked
field by field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainloop.checkpoint.layout import SCHEMA_VERSION, Facts, Saved
from trainloop.errors import CheckpointError, NonFiniteError
from trainloop.files import staged_folder, write_new
from trainloop.loop.finite import all_finite

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


def folder_name(step: int, *, epoch_closed: bool) -> str:
    """Return the name of a checkpoint's folder; the end of an epoch, evaluation included, is a place of its own."""
    return f"step-{step:08d}" + ("-end" if epoch_closed else "")


def write_checkpoint(path: Path, saved: Saved) -> int:
    """Write a checkpoint, read it back and verify it.

    Args:
        path: the folder to be; nothing stands there.
        saved: what to write.

    Returns:
        bytes written.

    Raises:
        NonFiniteError: a tensor holds a NaN or an infinity; nothing is written.
        ResourceError: the disk refuses.
        CheckpointError: what was read back is not what was written.
    """
    require_finite(saved)
    strides = {name: list(tensor.stride()) for name, tensor in saved.tensors.items() if not tensor.is_contiguous()}
    facts = saved.facts.model_copy(update={"strides": strides})
    contents = {TENSORS: tensor_bytes(saved.tensors), STATE: facts.model_dump_json(indent=1).encode()}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": path.name,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()
        },
    }
    contents[MANIFEST] = (json.dumps(manifest, indent=1) + "\n").encode()
    with staged_folder(path) as hidden:
        for name, content in contents.items():
            write_new(hidden / name, content)
    verify(path)
    return sum(map(len, contents.values()))


def require_finite(saved: Saved) -> None:
    """Refuse to save a NaN or an infinity.

    Raises:
        NonFiniteError: names the first tensor that holds one.
    """
    floating = {name: tensor for name, tensor in saved.tensors.items() if tensor.is_floating_point()}
    on_devices = {tensor.device for tensor in floating.values()}
    if all(all_finite([tensor for tensor in floating.values() if tensor.device == device]) for device in on_devices):
        return
    for name, tensor in floating.items():
        if not all_finite([tensor]):
            bad = tensor[~torch.isfinite(tensor)].flatten()[0].item()
            raise NonFiniteError(
                "a value is not finite after the update, so it is not saved, and training stopped",
                where=f"step {saved.facts.position.step}, epoch {saved.facts.position.epoch}, stage step",
                found=f"{name}: {bad}",
                expected="finite numbers",
                help="the checkpoints before this one are whole; try a smaller optimizer.lr or train.clip_grad_norm",
            )


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors in safetensors form: on the CPU, row by row, each in memory of its own."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != own.nbytes:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        plain[name] = own
    content: bytes = save(plain)
    return content


def verify(path: Path) -> dict[str, bytes]:
    """Read the files of a checkpoint and compare them with its manifest.

    Returns:
        the content of each file but the manifest, by name.

    Raises:
        CheckpointError: a file is missing, or is not what the manifest says; the message names it.
    """
    manifest = _manifest(path)
    if set(manifest.files) != {TENSORS, STATE} or manifest.schema_version != SCHEMA_VERSION:
        raise damaged(
            path / MANIFEST,
            f"version {manifest.schema_version}, files {', '.join(sorted(manifest.files))}",
            f"version {SCHEMA_VERSION}, files {STATE}, {TENSORS}",
        )
    if manifest.name != path.name:
        raise damaged(path, f"the checkpoint {manifest.name} under another name", path.name)
    contents = {}
    for name, facts in manifest.files.items():
        content = _content(path / name, facts.bytes)
        found = hashlib.sha256(content).hexdigest()
        if found != facts.sha256:
            raise damaged(path / name, f"SHA-256 {found[:16]}…", f"{facts.sha256[:16]}…")
        contents[name] = content
    return contents


def read_checkpoint(path: Path) -> Saved:
    """Read a checkpoint that verifies.

    Raises:
        CheckpointError: it is damaged or not of this layout; the message says where and how.
    """
    contents = verify(path)
    try:
        facts = Facts.model_validate_json(contents[STATE])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(path / STATE, f"{place}: {first['msg']}", "the fields of this version") from error
    try:
        tensors: dict[str, Tensor] = load(contents[TENSORS])
    except (SafetensorError, KeyError, ValueError) as error:
        raise damaged(path / TENSORS, str(error), "the safetensors format") from error
    position = facts.position
    if folder_name(position.step, epoch_closed=position.epoch_closed) != path.name:
        raise damaged(path / STATE, f"step {position.step}", path.name)
    return Saved({name: _laid_out(path, name, tensor, facts) for name, tensor in tensors.items()}, facts)


def damaged(where: Path, found: str, expected: str) -> CheckpointError:
    """Return the error for a checkpoint that is not what it was."""
    return CheckpointError("the checkpoint is damaged", where=str(where), found=found, expected=expected)


def _manifest(path: Path) -> Manifest:
    content = _content(path / MANIFEST, None)
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise damaged(path / MANIFEST, f"{place}: {first['msg']}", "the manifest of a checkpoint") from error


def _content(file: Path, expected: int | None) -> bytes:
    """Read a file, but not more than it should have."""
    limit = LARGEST_JSON if expected is None else expected
    try:
        if file.is_symlink() or not file.is_file():
            raise damaged(file, "no file" if not file.exists() else "not a plain file", "a file")
        size = file.stat().st_size
        if size > limit or (expected is not None and size != expected):
            raise damaged(file, f"{size:,} bytes", f"{limit:,} bytes" + ("" if expected is not None else " at most"))
        return file.read_bytes()
    except OSError as error:
        raise damaged(file, error.strerror or str(error), "a file that can be read") from error


def _laid_out(path: Path, name: str, tensor: Tensor, facts: Facts) -> Tensor:
    """Return the tensor with the strides it had; those come from a file, so they must be a dense order of its axes."""
    if name not in facts.strides:
        return tensor
    strides: Any = facts.strides[name]
    expected = 1
    fits = len(strides) == tensor.dim()
    for axis in sorted(range(tensor.dim()), key=lambda axis: (strides[axis], tensor.shape[axis])) if fits else ():
        if tensor.shape[axis] != 1:
            fits = fits and strides[axis] == expected
            expected *= tensor.shape[axis]
    if not fits:
        raise damaged(path / STATE, f"strides {strides} for {name}", f"an order of the axes of {tuple(tensor.shape)}")
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
