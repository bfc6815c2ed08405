"""Load weights from a file into a model that must match it name by name and shape by shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainloop.errors import CheckpointError, Fault
from trainloop.files import LARGEST_TENSOR_HEADER

WEIGHTS_NAME = "weights.safetensors"
MOST_SHOWN = 5


def load_weights(model: nn.Module, path: Path) -> None:
    """Overwrite every parameter and buffer of a model.

    Args:
        model: on the CPU.
        path: a .safetensors file, or a run folder that holds ``weights.safetensors``.

    Raises:
        CheckpointError: the file is missing, damaged, or its tensors differ in name, shape or dtype from the model's.
            The model is then unchanged.
    """
    file = path / WEIGHTS_NAME if path.is_dir() else path
    saved = read_weights(file)
    faults = list(differences(model.state_dict(), saved, str(file)))
    if len(faults) > MOST_SHOWN:
        more = len(faults) - MOST_SHOWN
        faults = [*faults[:MOST_SHOWN], Fault(f"and {more} more", where=str(file))]
    if faults:
        raise CheckpointError(faults)
    model.load_state_dict(saved)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a .safetensors file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if not file.is_file():
        raise CheckpointError(
            "there are no weights here",
            where=str(file),
            expected=f"a .safetensors file, or a run folder that holds {WEIGHTS_NAME}",
            help="set model.weights to one, or to null to start from random weights",
        )
    try:
        with file.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
        if header > LARGEST_TENSOR_HEADER:
            raise ValueError(f"a header of {header:,} bytes")
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            "these weights cannot be read",
            where=str(file),
            found=str(error).partition("\n")[0],
            help="take another copy of the file",
        ) from error
    return tensors


def differences(wanted: Mapping[str, Tensor], saved: Mapping[str, Tensor], where: str) -> Iterator[Fault]:
    """Yield one fault for each tensor that is missing, not wanted, or of another shape or dtype."""
    for name, tensor in wanted.items():
        if name not in saved:
            yield Fault(f"{name} is missing", where, expected=describe(tensor))
        elif describe(saved[name]) != describe(tensor):
            yield Fault(f"{name} is of another kind", where, found=describe(saved[name]), expected=describe(tensor))
    for name in saved:
        if name not in wanted:
            yield Fault(f"the model has no {name}", where, found=describe(saved[name]))


def describe(tensor: Tensor) -> str:
    """Return dtype and shape, for instance ``float32 (10, 128)``."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
