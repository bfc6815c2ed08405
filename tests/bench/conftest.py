"""Small problems, kernels that cheat, and a report that was made up."""

from __future__ import annotations

import pytest
import torch

from trainloop.bench.contestants import Contestant, contestants
from trainloop.bench.measure import Task, measure
from trainloop.bench.peaks import Peaks
from trainloop.bench.results import Report, Row
from trainloop.bench.summary import summarise
from trainloop.bench.words import parse_words
from trainloop.manual.conv import CONV2D, Algorithm

PEAKS = Peaks(threads=2, gemm_gflops_one_thread=50.0, gemm_gflops=100.0, copy_gb_s=20.0)
MACHINE = {
    "device": "cpu",
    "device_name": "A CPU",
    "cpu": "A CPU",
    "cpu_capability": "AVX2",
    "cpu_count": 2,
    "system": "Linux",
    "threads": 2,
    "versions": {
        "trainloop": "0.1.0",
        "python": "3.11",
        "torch": "2.14.1",
        "numpy": "2",
        "cuda": None,
        "onednn": "3.12",
    },
    "git": None,
    "peaks": {
        "dtype": "float32",
        "threads": 2,
        "gemm_gflops_one_thread": 50.0,
        "gemm_gflops": 100.0,
        "copy_gb_s": 20.0,
    },
    "keep_freed_memory": True,
    "load_average": 0.1,
}
SETTINGS = {
    "problems": ["n2 c3 o4 h5 k3"],
    "directions": ["forward"],
    "algorithms": None,
    "kernels": [],
    "layout": "channels_last",
    "dtype": "float32",
    "seed": 0,
    "time_budget_s": 6.0,
    "force": False,
}


@pytest.fixture
def cheat():
    """Make im2col with some of its functions replaced, called ``cheat``."""

    def make(**functions):
        honest = CONV2D["im2col"]
        parts = {name: getattr(honest, name) for name in ("forward", "grad_input", "grad_weight")}
        return Algorithm("cheat", **{**parts, **functions}, workspace=lambda _job, _direction: 1 << 20)

    return make


@pytest.fixture
def task():
    """Make a task; the type and the direction can be chosen."""

    def make(text="n2 c3 o4 h5 k3 p1", direction="forward", dtype=torch.float32, layout="channels_last"):
        return Task(
            problem=parse_words(text),
            layer="somewhere",
            direction=direction,
            dtype=dtype,
            device=torch.device("cpu"),
            layout=layout,
            seed=0,
            peak_gflops=100.0,
        )

    return make


@pytest.fixture
def measured(task):
    """Measure a kernel beside the library, with the smallest budget, and return its row."""

    def call(kernel, direction="forward", **changes):
        asked = task(direction=direction, **changes)
        library = contestants(asked.job, direction, layout="channels_last", names=())
        everybody = [*library, Contestant(kernel.name, "channels_last", kernel)]
        rows, interruption = measure(asked, everybody, budget_s=0.0)
        assert interruption is None
        return rows[-1]

    return call


@pytest.fixture
def no_peaks(monkeypatch):
    """Spare the time that peaks take, and leave the allocator as it is."""
    monkeypatch.setattr("trainloop.bench.run.measure_peaks", lambda _dtype, _device: PEAKS)
    monkeypatch.setattr("trainloop.bench.run.keep_freed_memory", lambda: True)


def made_up(**changes):
    """Return a row that was made up."""
    facts = {
        "problem": "n2 c3 o4 h5 k3",
        "layer": "somewhere",
        "direction": "forward",
        "algorithm": "winograd",
        "layout": "channels_last",
        "builtin": False,
        "kernel": "F(4), C++ AVX2",
        "ok": True,
        "rel_err": 7.5e-7,
        "library_rel_err": 3e-7,
        "median_ms": 2.0,
        "iqr_ms": 0.1,
        "num_samples": 3,
        "samples_ms": (1.9, 2.0, 2.1),
        "first_call_ms": 12.0,
        "speedup": 2.0,
        "speedup_ci": (1.9, 2.1),
        "baseline": "aten channels_last",
        "gflop": 0.5,
        "gflops_effective": 250.0,
        "gflops_actual": 62.5,
        "percent_of_peak": 62.5,
        "workspace_mib": 3.5,
    }
    return Row(**{**facts, **changes})


def made_up_builtin(**changes):
    """Return the row of the better built-in."""
    facts = {
        "algorithm": "aten",
        "builtin": True,
        "kernel": "brg_conv_fwd:avx2",
        "rel_err": 3e-7,
        "median_ms": 4.0,
        "speedup": 1.0,
        "speedup_ci": (1.0, 1.0),
        "gflops_effective": 125.0,
        "gflops_actual": 125.0,
        "percent_of_peak": 125.0,
        "workspace_mib": None,
    }
    return made_up(**{**facts, **changes})


NOTHING_MEASURED = {
    "median_ms": None,
    "iqr_ms": None,
    "num_samples": 0,
    "samples_ms": (),
    "first_call_ms": None,
    "speedup": None,
    "speedup_ci": None,
    "gflops_effective": None,
    "gflops_actual": None,
    "percent_of_peak": None,
}


@pytest.fixture
def report():
    """Return a report with rows of every kind; further ones are added."""

    def make(*more, **changes):
        slow = made_up(
            algorithm="im2col", kernel="tensor operations", speedup=0.5, speedup_ci=(0.4, 0.6), median_ms=8.0
        )
        refused = made_up(algorithm="loops", ok=None, reason="it would take 3 minutes", **NOTHING_MEASURED)
        rows = (made_up_builtin(), slow, made_up(), refused, *more)
        facts = {"machine": MACHINE, "settings": SETTINGS, "rows": rows, "summary": summarise(rows), "seconds": 12.0}
        return Report(**{**facts, **changes})

    return make


@pytest.fixture
def wrong_row():
    """Return a row with a wrong result."""
    return made_up(algorithm="cheat", ok=False, reason="all elements are 0", rel_err=1.0, **NOTHING_MEASURED)


@pytest.fixture
def a_row():
    """Make a row up."""
    return made_up


@pytest.fixture
def a_builtin():
    """Make up the row of the better built-in."""
    return made_up_builtin
