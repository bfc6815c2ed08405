"""What safety costs: the look at every gradient before an update, and a checkpoint that is written, flushed and verified.

    python benchmarks/safety_cost.py [--steps 15] [--saves 15] [--json benchmarks/safety_cost.json]

Check: a whole training step of batch 128 with and without the check, the two taking turns step by step in one process, and the
check alone after each step. Save: a checkpoint of the state of a run, as training waits for it, into a folder
that holds two already, so that each save removes one; the folder is on the disk of ``--dir``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from trainloop.build import build_training
from trainloop.checkpoint.capture import Origin, capture
from trainloop.checkpoint.store import CheckpointStore
from trainloop.config import load_config
from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import cpu_name, keep_freed_memory
from trainloop.files import write_text
from trainloop.loop.finite import FiniteCheck
from trainloop.loop.progress import Progress
from trainloop.loop.step import always, train_step
from trainloop.training import machine

BATCH_SIZE = 128
WARM_UP = 2
MODELS = ("small_cnn", "resnet18")
STATES = {
    "configs/cifar10.yaml": Path("configs/cifar10.yaml"),
    "resnet18, no momentum (45 MB)": {"model": {"name": "resnet18"}, "optimizer": {"name": "sgd", "momentum": 0}},
    "resnet18, adamw (134 MB)": {"model": {"name": "resnet18"}, "optimizer": {"name": "adamw", "lr": 1e-3}},
}


def check_times(name: str, steps: int) -> dict[str, list[float]]:
    """Return ms of a step without and with the check, taking turns, and of the check alone."""
    config = RunConfig.model_validate({"model": {"name": name}, "train": {"batch_size": BATCH_SIZE}})
    training, _ = build_training(config, lambda _: None)
    training.model.train()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH_SIZE, 3, 32, 32, generator=generator)
    batch = Batch(x, torch.randint(0, 10, (BATCH_SIZE,), generator=generator), torch.arange(BATCH_SIZE))
    check = FiniteCheck(training.model, training.stages.forward)
    found: dict[str, list[float]] = {"step": [], "step_with_check": [], "check": []}
    for step in range(WARM_UP + steps):
        for key, may_update in (("step", always), ("step_with_check", check)):
            began = time.perf_counter()
            result = train_step(training.stages, batch, 1, 0.01, may_update)
            if step >= WARM_UP:
                found[key].append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        check(result)
        if step >= WARM_UP:
            found["check"].append(1e3 * (time.perf_counter() - began))
    return found


def save_times(source: Path | dict[str, Any], saves: int, folder: Path) -> tuple[int, list[float]]:
    """Return the bytes of a checkpoint, and ms that training waits for each."""
    mini: dict[str, Any] = {"dataset": "cifar10-mini"}
    config = load_config(source).config if isinstance(source, Path) else RunConfig.model_validate(source)
    config = config.model_copy(update={"data": RunConfig.model_validate({"data": mini}).data})
    training, dataset = build_training(config, lambda _: None)
    images = Batch(torch.randn(2, 3, 32, 32), torch.tensor([0, 1]), torch.arange(2))
    train_step(training.stages, images, 1, 0.01)
    origin = Origin(config.model_dump(mode="json"), machine(training.device), dataset.digest, {})
    found, written = [], 0
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = CheckpointStore(Path(place), keep=2)
        for step in range(WARM_UP + saves):
            began = time.perf_counter()
            progress = replace(Progress(), step=step + 1, epoch=1, epoch_step=step + 1, epoch_closed=False)
            _, written = store.save(capture(training, progress, origin, metrics_bytes=0))
            if step >= WARM_UP:
                found.append(1e3 * (time.perf_counter() - began))
    return written, found


def spread(samples: Sequence[float]) -> str:
    """Return the median with quartiles."""
    low, middle, high = statistics.quantiles(samples, n=4)
    return f"{middle:,.2f} ({low:,.2f} to {high:,.2f})"


def main() -> None:
    """Measure, print the tables, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--saves", type=int, default=15)
    parser.add_argument("--dir", type=Path, default=Path())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    keep_freed_memory()
    checks = {name: check_times(name, arguments.steps) for name in MODELS}
    print("| model | a step, ms | the check, ms | check ÷ step | step with ÷ without |\n|---|---|---|---|---|")
    for name, found in checks.items():
        share = [100 * check / step for check, step in zip(found["check"], found["step"], strict=True)]
        ratio = [both / step for both, step in zip(found["step_with_check"], found["step"], strict=True)]
        print(f"| {name} | {spread(found['step'])} | {spread(found['check'])} | {spread(share)} % | {spread(ratio)} |")
    saves = {}
    print("\n| state | MB | a save, ms |\n|---|---|---|")
    for name, source in STATES.items():
        size, times = save_times(source, arguments.saves, arguments.dir)
        saves[name] = {"bytes": size, "ms": times}
        print(f"| {name} | {size / 1e6:,.1f} | {spread(times)} |")
    about = f"{cpu_name()}, 2 threads, torch {torch.__version__}, {date.today().isoformat()}"
    print(f"\n{about}; {arguments.steps} steps of {BATCH_SIZE} images of 32×32 and {arguments.saves} saves")
    if arguments.json:
        write_text(arguments.json, json.dumps({"machine": about, "checks": checks, "saves": saves}, indent=1) + "\n")


if __name__ == "__main__":
    main()
