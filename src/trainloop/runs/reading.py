"""Files of a run folder that nobody vouches for, as checked values."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainloop.checkpoint.layout import Position
from trainloop.config import load_config
from trainloop.config.schema import RunConfig
from trainloop.errors import CheckpointError, TrainloopError
from trainloop.files import plain_size, read_plain
from trainloop.loop.schedule import run_span
from trainloop.report import run_folder

LARGEST_JSON = 4_000_000
"""bytes of ``summary.json`` and ``env.json``; a thousand times what they have"""
DEEPEST = 20
"""levels of sections in a JSON file; five times what they have"""
LARGEST_COUNT = 10**15
LARGEST_NUMBER = 1e30
"""beyond these a number is not one of a run"""
LARGEST_HEADER = 100_000_000
"""bytes of the header of a safetensors file; the limit of the format"""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: it is missing, damaged or too large; ``found`` says how.
    """
    try:
        content = json.loads(read_plain(path, LARGEST_JSON).decode("utf-8"))
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise unreadable(path, str(error) or type(error).__name__) from error
    if not isinstance(content, dict):
        raise unreadable(path, f"a {type(content).__name__}")
    if _is_deeper(content, DEEPEST):
        raise unreadable(path, f"more than {DEEPEST} levels")
    return content


def _is_deeper(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(child, levels - 1) for child in inside)


def unreadable(path: Path, found: str) -> CheckpointError:
    """Return the error for a file of a run that is not what it was."""
    return CheckpointError(
        "a file of this run is missing or damaged", where=str(path), found=found, expected="what the run wrote"
    )


def reason(error: TrainloopError) -> str:
    """Return an error about a file of a run folder in one line."""
    fault = error.faults[0]
    return f"{Path(fault.where).name}: {fault.found or fault.what}"


def as_text(facts: Mapping[str, Any], key: str) -> str | None:
    """Return a text, or None where there is none."""
    value = facts.get(key)
    return value if isinstance(value, str) else None


def as_count(facts: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number ≥ 0 of a size that a run can have, or None."""
    value = facts.get(key)
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT
    return value if fits else None


def as_number(facts: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number of a size that a run can have, or None."""
    value = facts.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # A whole number first, for a huge one is no float.
    return float(value) if abs(value) <= LARGEST_NUMBER and math.isfinite(value) else None


def as_section(facts: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a section of facts, empty where there is none."""
    value = facts.get(key)
    return value if isinstance(value, dict) else {}


def read_config(run: Path) -> RunConfig:
    """Read the resolved config of a run.

    Raises:
        CheckpointError: it is missing, or not a config of this version.
    """
    path = run / run_folder.CONFIG
    try:
        plain_size(path)
        return load_config(path).config
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except TrainloopError as error:
        fault = error.faults[0]
        raise unreadable(path, f"{fault.what}{f' ({fault.found})' if fault.found else ''}") from error
    except RecursionError as error:
        raise unreadable(path, "nested too deeply") from error


def validated(config: Mapping[str, Any]) -> RunConfig | None:
    """Return the config that a checkpoint holds, or None where it is not one of this version."""
    with contextlib.suppress(ValidationError, ValueError, RecursionError):
        return RunConfig.model_validate_json(json.dumps(config))
    return None


def total_steps(config: RunConfig, environment: Mapping[str, Any]) -> int | None:
    """Return the updates of a whole run, from its config and the facts of its images; None where these are not known."""
    images = as_count(as_section(environment, "data"), "train_images")
    if images is None or images <= config.data.val_size:
        return None
    return run_span(config, -(-(images - config.data.val_size) // config.train.batch_size)).total_steps


def require_whole_weights(path: Path) -> None:
    """Look whether a safetensors file has the length that its header tells; the tensors are not read.

    Raises:
        CheckpointError: it is missing or cut off.
    """
    try:
        size = plain_size(path)
        with path.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else LARGEST_HEADER + 1
            if length > min(LARGEST_HEADER, size):
                raise unreadable(path, f"{size:,} bytes without a header")
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise unreadable(path, "no header of a safetensors file") from error
    if size != expected:
        raise unreadable(path, f"{size:,} bytes, {expected:,} by its header")


def results_at(checkpoint: Path, position: Position) -> tuple[float, float] | None:
    """Return test accuracy and test loss of the run that a checkpoint lies in, if it stands at the end of that run."""
    try:
        summary = read_json(checkpoint.absolute().parents[1] / run_folder.SUMMARY)
    except CheckpointError:
        return None
    accuracy, loss = as_number(summary, "test_accuracy"), as_number(summary, "test_loss")
    if accuracy is None or loss is None or not position.epoch_closed or as_count(summary, "steps") != position.step:
        return None
    return accuracy, loss
