"""The random streams of a process as tensors and numbers: torch's, the device's, numpy's and Python's.

Only torch's are drawn from by trainloop itself (dropout); the others may be by a model of the user's own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

Numbers = dict[str, float | int | None]


def captured(device: torch.device) -> tuple[dict[str, Tensor], Numbers]:
    """Return the streams as they stand now.

    Args:
        device: whose stream counts besides that of the CPU.

    Returns:
        tensors by stream, and the few numbers that belong to them.
    """
    version, words, python_gauss = random.getstate()
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python": torch.tensor(words, dtype=torch.int64),
    }
    if device.type != "cpu":
        tensors[device.type] = torch.get_device_module(device).get_rng_state()
    numbers: Numbers = {
        "python_version": version,
        "python_gauss": python_gauss,
        "numpy_position": int(position),
        "numpy_has_gauss": int(has_gauss),
        "numpy_gauss": float(gauss),
    }
    return tensors, numbers


def restore(tensors: Mapping[str, Tensor], numbers: Mapping[str, float | int | None], device: torch.device) -> None:
    """Put the streams back where they stood; one of another kind of device is left alone.

    Raises:
        ValueError, TypeError, RuntimeError, KeyError, IndexError: this is not a state of the streams.
    """
    torch.set_rng_state(tensors["torch"])
    if device.type in tensors:
        torch.get_device_module(device).set_rng_state(tensors[device.type])
    version, gauss = numbers["python_version"], numbers["python_gauss"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    keys = tensors["numpy"].numpy().astype(np.uint32)
    position, has_gauss, cached = (numbers[f"numpy_{name}"] for name in ("position", "has_gauss", "gauss"))
    np.random.set_state(("MT19937", keys, int(position or 0), int(has_gauss or 0), float(cached or 0.0)))
