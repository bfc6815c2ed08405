"""Verdicts made by hand, one of each kind, and a small real comparison."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from trainloop.compare import TrainingStep
from trainloop.compare.verdict import Cause, First, FreeRun, StageReport, StageTime, Timing, Verdict

STAGES = ("zero_grad", "forward", "loss", "backward", "sync", "step")


def equal_stage(stage):
    return StageReport(stage, "equal", 44, 44, worst="head.bias", step=1, case="config", floor=3e-8)


@pytest.fixture
def rounding_stage():
    return StageReport(
        *("step", "equal_up_to_rounding", 464, 443, "block1.1.bias", (22,), 2, "config"),
        **{"max_abs_err": 2.3e-10, "max_rel_err": 1.2e-7, "max_ulp": 1, "floor": 2.4e-10},
        **{"reference_error": 1.3e-10, "candidate_error": 2.4e-10, "formula_error": 3e-20},
    )


@pytest.fixture
def different_stage(rounding_stage):
    return dataclasses.replace(
        rounding_stage, verdict="different", max_abs_err=7.1e-4, max_ulp=41_841_074, floor=3e-8, formula_error=7.1e-4
    )


@pytest.fixture
def equal_verdict():
    return Verdict(
        *("equal", "every bit of 264 tensors agrees, over 3 steps", "builtin", "manual", False, 3),
        cases=("optimizer cases",),
        first=None,
        cause=None,
        stages=tuple(map(equal_stage, STAGES)),
        free_run=FreeRun((2.3, 2.2, 2.1), (2.3, 2.2, 2.1), (0.0, 0.0, 0.0)),
        timing=Timing(
            20, (StageTime("step", 2.0, 1.0, 0.5, 0.4, 0.6), StageTime("whole step", 9, 8, 0.9, 0.8, 1)), (9,), (8,)
        ),
        seconds=4.2,
        environment={"machine": "cpu · torch 2.14.1"},
    )


@pytest.fixture
def rounding_verdict(equal_verdict, rounding_stage):
    return dataclasses.replace(
        equal_verdict,
        verdict="equal_up_to_rounding",
        reason="21 of 684 tensors differ over 3 steps, none by more than rounding explains",
        stages=(*equal_verdict.stages[:-1], rounding_stage),
        free_run=FreeRun((2.3, 2.2, 2.1), (2.3, 2.2, 2.1), (0.0, 1.2e-7, 1e-6)),
    )


@pytest.fixture
def first():
    return First("config", 2, "step", "layer3.0.conv1.weight", (3, 0, 1, 1), 0.25, 0.25071, 7.1e-4, 3e-8)


@pytest.fixture
def different_verdict(equal_verdict, different_stage, first):
    return dataclasses.replace(
        equal_verdict,
        verdict="different",
        reason="step 2 · optimizer step · layer3.0.conv1.weight[3,0,1,1]: 7.1e-04 against a floor of 3.0e-08",
        first=first,
        cause=Cause("eps inside the root", 7.3e-8, 23),
        stages=(*equal_verdict.stages[:-1], different_stage),
        free_run=FreeRun((2.3, 2.2, 2.1), (2.3, 2.2, 9.1), (0.0, 1e-3, 1e-2)),
        timing=None,
        reproduction="runs/compare-1",
    )


@pytest.fixture
def inconclusive_verdict(equal_verdict):
    """Of a candidate that raised before anything was compared."""
    return dataclasses.replace(
        equal_verdict,
        verdict="inconclusive",
        reason="step 1 · forward · candidate: ValueError: no",
        steps=0,
        stages=tuple(StageReport(stage, "equal") for stage in STAGES),
        free_run=FreeRun(),
        timing=None,
    )


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 6, generator=generator), torch.arange(4) % 3) for _ in range(3)]


@pytest.fixture
def training_step():
    """Make a step over one small model: ``training_step(optimizer class, **settings)``; further fields by ``step=``."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))

    def make(optimizer=torch.optim.SGD, step=None, **settings):
        return TrainingStep(model, partial(optimizer, **{"lr": 0.1, **settings}), **(step or {}))

    return make


@pytest.fixture
def one_thread():
    """Compute with one thread: for tensors as small as these, two only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
