"""What this machine can do, measured: products of matrices at one and at all threads, and copying.

The best of several repetitions counts, for whatever else runs on the machine can only make them slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE = 1_536
"""of the square matrices: three of them take 27 MiB in float32"""
COPIED_BYTES = 128 << 20
REPETITIONS, SECONDS = 12, 1.0
"""at most so many, and no further one after so long"""


@dataclass(frozen=True)
class Peaks:
    """What was measured.

    Args:
        threads: how many.
        gemm_gflops_one_thread: 2 · side³ operations by the time of the best product; None on another device than the CPU.
        gemm_gflops: the same with all threads.
        copy_gb_s: bytes read and written by the time of the best copy, with all threads.
    """

    threads: int
    gemm_gflops_one_thread: float | None
    gemm_gflops: float
    copy_gb_s: float


def measure_peaks(dtype: torch.dtype, device: torch.device, *, side: int = SIDE, copied: int = COPIED_BYTES) -> Peaks:
    """Measure the peaks.

    Args:
        dtype: of the matrices.
        device: where they lie.
        side: of the matrices.
        copied: bytes of the tensor that is copied.
    """
    threads = torch.get_num_threads()
    one = None
    if device.type == "cpu":
        torch.set_num_threads(1)
        try:
            one = _gemm(dtype, device, side)
        finally:
            torch.set_num_threads(threads)
    return Peaks(threads, one, _gemm(dtype, device, side), _copy(device, copied))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _gemm(dtype: torch.dtype, device: torch.device, side: int) -> float:
    a, b = (torch.ones((side, side), dtype=dtype, device=device) for _ in range(2))
    result = torch.empty_like(a)
    return 2 * side**3 / _best_seconds(lambda: torch.mm(a, b, out=result), device) / 1e9


def _copy(device: torch.device, num_bytes: int) -> float:
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * num_bytes / _best_seconds(lambda: target.copy_(source), device) / 1e9


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    synchronize(device)
    best, began = float("inf"), time.perf_counter()
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        synchronize(device)
        end = time.perf_counter()
        best = min(best, end - start)
        if end - began > SECONDS:
            break
    return best
