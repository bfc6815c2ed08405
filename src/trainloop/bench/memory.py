"""Whether a problem fits into the memory that is free: said before the system ends the process."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from trainloop.bench.contestants import AnyJob
from trainloop.bench.operands import NUM_SETS, result_shape
from trainloop.bench.oracle import column_bytes, images_at_once
from trainloop.report.format import size

NUM_LAYOUTS = 2
USABLE = 0.75
"""of the free memory"""


def needed_bytes(job: AnyJob, direction: str) -> int:
    """Return what operands, right results and a result take, for both layouts, and what the oracle takes in float64.

    Workspaces come on top.

    Args:
        job: what is to be computed.
        direction: forward, grad_input or grad_weight.
    """
    shapes = (job.input_shape, job.weight_shape, job.output_shape)
    result = math.prod(result_shape(job, direction))
    operands = sum(map(math.prod, shapes)) - result
    of_a_layout = job.dtype.itemsize * ((NUM_SETS + 2) * operands + (NUM_SETS + 2) * result)
    oracle = 8 * (sum(map(math.prod, shapes)) + result) + 2 * column_bytes(job) * min(
        images_at_once(job), job.input_shape[0]
    )
    return NUM_LAYOUTS * of_a_layout + 8 * NUM_SETS * result + oracle


def too_large(job: AnyJob, direction: str, workspace: int = 0) -> str | None:
    """Return that a job does not fit into the free memory, or None.

    Args:
        job: what is to be computed.
        direction: forward, grad_input or grad_weight.
        workspace: bytes that come on top.
    """
    needed, free = needed_bytes(job, direction) + workspace, free_bytes(job.device)
    # What is freed stays in the process, in pieces that do not always fit what comes next.
    if free is None or needed <= USABLE * free:
        return None
    return f"it needs about {size(needed)} of memory, and {size(free)} are free"


def free_bytes(device: str) -> int | None:
    """Return how much memory is free, or None where the system does not tell."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines)
    text = facts.get("MemAvailable")
    return None if text is None else 1024 * int(text.split()[0])
