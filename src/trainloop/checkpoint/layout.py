"""What a checkpoint holds: tensors by name, and everything else as plain numbers and words that are checked when they are read.

Tensors: ``model/<name>``, every parameter and buffer; ``optimizer/<parameter>/<entry>``, in torch's names whichever
path trains; ``average/<parameter>``, the running mean of the weights; ``random/<stream>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 1
Count = Annotated[int, Field(ge=0)]
Number = float | int


class Plain(BaseModel):
    """A part of ``state.json``: unknown keys, wrong types, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Position(Plain):
    """How far the loop was; the fields of :class:`~trainloop.loop.progress.Progress`."""

    step: Count
    epoch: Count
    epoch_step: Count
    epoch_closed: bool
    epoch_loss_sum: Number
    epoch_correct: Count
    epoch_samples: Count
    samples: Count
    train_seconds: Number
    epoch_seconds: Number
    seconds: Number
    skipped_steps: Count = 0
    skipped_in_a_row: Count = 0
    val_loss: Number | None
    val_accuracy: Number | None


class Machine(Plain):
    """What decides about bits besides the config."""

    trainloop: str
    torch: str
    device: str
    device_name: str
    cpu_capability: str
    threads: int


class Best(Plain):
    """The best epoch so far."""

    folder: str
    value: Number


class Resumed(Plain):
    """A place where the run was taken up again.

    Args:
        step: of the checkpoint.
        not_exact_because: what differed, in words; empty where the bits are those of a run without a break.
    """

    step: Count
    not_exact_because: list[str]


class Facts(Plain):
    """``state.json``.

    Args:
        schema_version: of this layout.
        position: how far the run was.
        config: every value of the run's config.
        machine: what decides about bits besides.
        data_digest: of the images.
        plugins: SHA-256 of each file of the user's own that the run imported, by its name.
        metrics_bytes: length of ``metrics.jsonl``.
        strides: of tensors that do not lie row by row, such as channels_last ones.
        optimizer_numbers: entries of an optimizer's state that are no tensors: parameter → entry → number.
        scaler: of fp16 training.
        random: what Python's and numpy's streams hold besides their tensors.
        best: the best epoch so far.
        convolutions: which algorithm did each convolution so far, where ``stages.conv`` chose.
        resumed: where the run was taken up again.
    """

    schema_version: Literal[1]
    position: Position
    config: dict[str, Any]
    machine: Machine
    data_digest: str
    plugins: dict[str, str]
    metrics_bytes: Count
    strides: dict[str, list[Count]]
    optimizer_numbers: dict[str, dict[str, Number | bool]]
    scaler: dict[str, Number] | None
    random: dict[str, Number | None]
    best: Best | None
    convolutions: dict[str, dict[str, str]]
    resumed: list[Resumed]


@dataclass(frozen=True)
class Saved:
    """A checkpoint in memory.

    Args:
        tensors: by name, see the head of this file.
        facts: everything else.
    """

    tensors: Mapping[str, Tensor]
    facts: Facts
