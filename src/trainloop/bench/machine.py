"""What numbers depend on: hardware, versions, threads, measured peaks."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

import torch

from trainloop.bench.peaks import Peaks
from trainloop.device import git_state, hardware, versions


def machine_facts(device: torch.device, dtype: str, peaks: Peaks, *, keeps_memory: bool) -> dict[str, Any]:
    """Return what the report says of the machine.

    Args:
        device: where it was measured.
        dtype: of the matrices of the peaks.
        peaks: measured.
        keeps_memory: whether freed memory stays in the process, see ``device.keep_freed_memory``.
    """
    return {
        **hardware(device),
        "threads": torch.get_num_threads(),
        "versions": {**versions(), "onednn": onednn_version()},
        "git": git_state(),
        "peaks": {"dtype": dtype, **dataclasses.asdict(peaks)},
        "keep_freed_memory": keeps_memory,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def onednn_version() -> str | None:
    """Return the version of oneDNN that torch was built with, or None."""
    found = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return found[1] if found else None
