"""What numbers depend on is written down."""

from __future__ import annotations

import re

import torch

from trainloop.bench.machine import machine_facts, onednn_version
from trainloop.bench.peaks import Peaks

PEAKS = Peaks(threads=2, gemm_gflops_one_thread=50.0, gemm_gflops=100.0, copy_gb_s=20.0)


def test_hardware_versions_threads_and_peaks_are_there():
    facts = machine_facts(torch.device("cpu"), "float32", PEAKS, keeps_memory=True)
    assert {"device", "cpu", "cpu_capability", "threads", "versions", "git", "peaks", "keep_freed_memory"} <= set(facts)
    assert facts["peaks"] == {
        "dtype": "float32",
        "threads": 2,
        "gemm_gflops_one_thread": 50.0,
        "gemm_gflops": 100.0,
        "copy_gb_s": 20.0,
    }
    assert facts["versions"]["torch"] == torch.__version__


def test_the_version_of_onednn_is_read(monkeypatch):
    monkeypatch.setattr(torch.__config__, "show", lambda: "- Intel(R) MKL-DNN v3.12.0 (Git Hash 80afa71)")
    assert onednn_version() == "3.12.0"
    monkeypatch.setattr(torch.__config__, "show", lambda: "nothing")
    assert onednn_version() is None


def test_this_machines_version_looks_like_one():
    assert re.fullmatch(r"\d+\.\d+(\.\d+)*", onednn_version() or "0.0")
