"""How a run ended, part by part and bit by bit, times left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainloop.checkpoint.layout import Facts
from trainloop.checkpoint.store import CheckpointStore
from trainloop.errors import CheckpointError
from trainloop.loop.events import TIME_FIELDS
from trainloop.report.run_folder import METRICS, WEIGHTS

TENSOR_PARTS = {
    "model": "weights and buffers",
    "optimizer": "optimizer",
    "average": "running mean",
    "random": "random streams",
}
"""kind of a tensor in a checkpoint → what it is called on the screen"""
UNSEEDED = ("python", "numpy")
"""streams that ``deterministic: off`` leaves as the process finds them"""
POSITION_TIMES = frozenset({"seconds", "train_seconds", "epoch_seconds"})

Digests = dict[str, dict[str, str]]
"""part → name → its value, or the SHA-256 of its bytes"""


@dataclass(frozen=True)
class Same:
    """Two ends compared in one part.

    Args:
        part: such as ``optimizer``.
        count: tensors, numbers or lines compared.
        first: the first that differs, with both values; empty if none does.
    """

    part: str
    count: int
    first: str = ""


def read_end(folder: Path) -> Digests:
    """Return all that a finished run ended with.

    Raises:
        CheckpointError: its last checkpoint is damaged or not there.
    """
    found = CheckpointStore(folder).newest()
    if found.saved is None:
        raise CheckpointError("this run left no checkpoint that is whole", where=str(folder))
    digests: Digests = {}
    for name, tensor in found.saved.tensors.items():
        kind, _, rest = name.partition("/")
        part = TENSOR_PARTS[kind]
        if is_promised(part, rest, found.saved.facts):
            digests.setdefault(part, {})[rest] = tensor_digest(tensor)
    for part, name, value in _numbers(found.saved.facts):
        digests.setdefault(part, {})[name] = value
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    digests["metrics, line by line"] = {f"line {number}": without_times(line) for number, line in enumerate(lines, 1)}
    digests["weights.safetensors"] = {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()}
    return digests


def compare_ends(whole: Digests, killed: Digests) -> list[Same]:
    """Compare two ends part by part.

    Args:
        whole: of the run without a break.
        killed: of the other.
    """
    return [_compare(part, whole.get(part, {}), killed.get(part, {})) for part in dict.fromkeys([*whole, *killed])]


def tensor_digest(tensor: Tensor) -> str:
    """Return a digest of dtype, shape, memory order and every byte."""
    own = tensor.detach().cpu()
    head = f"{own.dtype} {tuple(own.shape)} {own.stride()} ".encode()
    content = own.contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(head + content.numpy().tobytes()).hexdigest()


def without_times(line: str) -> str:
    """Return a line of the metrics without the fields that are times."""
    facts = json.loads(line)
    return json.dumps({key: value for key, value in facts.items() if key not in TIME_FIELDS})


def _numbers(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield part, name and value of what a checkpoint holds besides tensors, without times and facts about saving."""
    for param, entries in facts.optimizer_numbers.items():
        yield from (("optimizer", f"{param}/{key}", repr(value)) for key, value in entries.items())
    position = facts.position.model_dump(exclude=set(POSITION_TIMES))
    parts: dict[str, Mapping[str, Any]] = {
        TENSOR_PARTS["random"]: facts.random,
        "gradient scaler": facts.scaler or {},
        "counts and sums": position,
    }
    for part, numbers in parts.items():
        yield from ((part, name, repr(value)) for name, value in numbers.items() if is_promised(part, name, facts))
    if facts.best is not None:
        yield "best epoch", facts.best.folder, repr(facts.best.value)


def is_promised(part: str, name: str, facts: Facts) -> bool:
    """Say whether a value is one that two runs share: without a seed the streams of Python and numpy are not."""
    return not (facts.config["deterministic"] == "off" and part == TENSOR_PARTS["random"] and name.startswith(UNSEEDED))


def _compare(part: str, whole: Mapping[str, str], killed: Mapping[str, str]) -> Same:
    names = list(dict.fromkeys([*whole, *killed]))
    for name in names:
        one, other = whole.get(name, "nothing"), killed.get(name, "nothing")
        if one != other:
            return Same(part, len(names), f"{name}: {_short(one)} without a break, {_short(other)} with")
    return Same(part, len(names))


def _short(value: str) -> str:
    return value if len(value) <= 24 else f"{value[:23]}…"
