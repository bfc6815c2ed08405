"""Devices, knobs and what is written down about the machine."""

from __future__ import annotations

import platform
import random

import numpy as np
import pytest
import torch

from trainloop import device as devices
from trainloop.config.schema import RunConfig
from trainloop.errors import DeviceError
from trainloop.training import train

PRESENT = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
TINY = {"train": {"max_steps": 3, "batch_size": 8, "eval_batch_size": 250}, "log": {"timing_every": 1}}


def skip_without(name):
    if not PRESENT[name]:
        pytest.skip(f"this machine has no {name} device")


@pytest.mark.parametrize("name", PRESENT)
@pytest.mark.parametrize("mode", ["builtin", "manual"])
def test_a_run_on_an_accelerator_has_times_and_weights(tmp_path, name, mode):
    skip_without(name)
    summary = train(RunConfig.model_validate({**TINY, "device": name, "mode": mode}), run_dir=tmp_path / "r")
    assert summary.device.startswith(name)
    assert summary.steps == 3
    assert all(elapsed >= 0 for elapsed in summary.stages_ms.values())


@pytest.mark.parametrize("name", PRESENT)
def test_fp16_trains_with_a_scaler_on_an_accelerator(tmp_path, name):
    skip_without(name)
    config = RunConfig.model_validate({**TINY, "device": name, "train": {**TINY["train"], "precision": "fp16"}})
    assert train(config, run_dir=tmp_path / "r").steps == 3


@pytest.mark.parametrize("name", PRESENT)
def test_a_missing_device_is_named_with_those_that_are_there(name):
    if PRESENT[name]:
        pytest.skip(f"this machine has a {name} device")
    with pytest.raises(DeviceError, match=f"device {name} is not there") as caught:
        devices.choose_device(name)
    assert "expected: auto, cpu" in str(caught.value)


def test_auto_takes_a_device_that_is_there():
    assert devices.choose_device("auto").type == ("cuda" if PRESENT["cuda"] else "mps" if PRESENT["mps"] else "cpu")


def test_fp16_on_the_cpu_is_refused():
    config = RunConfig.model_validate({"train": {"precision": "fp16"}})
    with pytest.raises(DeviceError, match=r"train\.precision: fp16 training does not work on cpu"):
        devices.check_precision(config, torch.device("cpu"))


def test_bf16_and_fp32_on_the_cpu_are_not():
    for precision in ("bf16", "fp32"):
        config = RunConfig.model_validate({"train": {"precision": precision}})
        devices.check_precision(config, torch.device("cpu"))


@pytest.mark.parametrize(
    ("level", "strict", "seeded"), [("off", False, False), ("seeded", False, True), ("strict", True, True)]
)
def test_every_level_of_determinism_sets_and_reports_its_knobs(level, strict, seeded):
    try:
        found = devices.set_knobs(RunConfig(deterministic=level, seed=7))
        assert torch.initial_seed() == 7
        assert torch.are_deterministic_algorithms_enabled() is strict
        assert (found["deterministic_algorithms"], found["cudnn_deterministic"]) == (strict, strict)
        assert (found["python_seeded"], found["cudnn_benchmark"]) == (seeded, not seeded)
    finally:
        devices.set_knobs(RunConfig())


@pytest.mark.parametrize("seed", [7, 2**63 - 1])
def test_with_a_seed_every_stream_begins_at_the_same_place(seed):
    drawn = set()
    for _ in range(2):
        devices.set_knobs(RunConfig(seed=seed))
        drawn.add((random.random(), np.random.rand(), torch.rand(()).item()))
    assert len(drawn) == 1


def test_the_number_of_threads_is_set_and_reported():
    before = torch.get_num_threads()
    try:
        assert devices.set_knobs(RunConfig(threads=1))["threads"] == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_thousands_of_threads_are_refused():
    before = torch.get_num_threads()
    with pytest.raises(DeviceError, match=r"5,000 on \d+ cores"):
        devices.set_knobs(RunConfig(threads=5_000))
    assert torch.get_num_threads() == before


def test_keeping_freed_memory_works_where_there_is_glibc():
    assert devices.keep_freed_memory() is (platform.libc_ver()[0] == "glibc")


def test_the_environment_names_versions_hardware_and_knobs_but_no_environment_variables_at_large(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    facts = devices.environment(RunConfig(), torch.device("cpu"))
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["hardware"]["device"] == "cpu"
    assert "hunter2" not in str(facts)


def test_peak_memory_is_in_mebibytes():
    assert 50 < devices.peak_memory_mib(torch.device("cpu")) < 1_000_000
