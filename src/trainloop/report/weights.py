"""The bytes and the digest of a model's weights."""

from __future__ import annotations

import hashlib

import torch
from safetensors.torch import save
from torch import Tensor, nn


def weights_bytes(model: nn.Module) -> bytes:
    """Return the model's state in safetensors form: contiguous, on the CPU, names as in ``state_dict``."""
    # A copy each: safetensors refuses tensors that share memory (tied weights).
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    content: bytes = save(state)
    return content


def weights_sha256(model: nn.Module) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of every parameter and buffer, sorted by name.

    Two models have the same digest only if every bit of them is the same, the sign of a zero included; the memory
    format does not matter.
    """
    digest = hashlib.sha256()
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
