"""The machine's peaks are measured; no number is asserted but what must hold on any machine."""

from __future__ import annotations

import math

import torch

from trainloop.bench.peaks import measure_peaks, synchronize

CPU = torch.device("cpu")


def test_every_peak_is_a_positive_number():
    found = measure_peaks(torch.float32, CPU, side=32, copied=1 << 12)
    assert found.threads == torch.get_num_threads()
    assert all(0 < peak < math.inf for peak in (found.gemm_gflops_one_thread, found.gemm_gflops, found.copy_gb_s))


def test_the_threads_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure_peaks(torch.float64, CPU, side=8, copied=64)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_cpu_needs_no_waiting_for():
    assert synchronize(CPU) is None
