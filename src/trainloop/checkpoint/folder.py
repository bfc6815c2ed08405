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
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainloop.checkpoint.layout import SCHEMA_VERSION, Facts, Saved
from trainloop.checkpoint.manifest import MANIFEST, STATE, TENSORS, damaged, read_facts, verify
from trainloop.checkpoint.places import folder_name
from trainloop.errors import NonFiniteError
from trainloop.files import LARGEST_TENSOR_HEADER, staged_folder, write_new
from trainloop.loop.finite import all_finite

__all__ = ["MANIFEST", "STATE", "TENSORS", "folder_name", "read_checkpoint", "verify", "write_checkpoint"]


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
    size = sum(map(len, contents.values()))
    with staged_folder(path, needed=size) as hidden:
        for name, content in contents.items():
            write_new(hidden / name, content)
    verify(path)
    return size


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


def read_checkpoint(path: Path) -> Saved:
    """Read a checkpoint that verifies.

    Raises:
        CheckpointError: it is damaged or not of this layout; the message says where and how.
    """
    contents = verify(path)
    facts = read_facts(path, contents[STATE])
    header = int.from_bytes(contents[TENSORS][:8], "little")
    if header > LARGEST_TENSOR_HEADER:
        raise damaged(path / TENSORS, f"a header of {header:,} bytes", f"at most {LARGEST_TENSOR_HEADER:,} bytes")
    try:
        tensors: dict[str, Tensor] = load(contents[TENSORS])
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise damaged(path / TENSORS, str(error).partition("\n")[0], "the safetensors format") from error
    return Saved({name: _laid_out(path, name, tensor, facts) for name, tensor in tensors.items()}, facts)


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
