"""What a manual step costs beside a builtin one: time of both, and the memory that a step needs above what it begins with.

    python benchmarks/manual_step.py [--steps 15] [--json benchmarks/manual_step.json]

Both sides are the product's own stages over the same network and the same batch of 128 images of 32×32, SGD with momentum.
Time: the two take turns step by step in one process, after two steps each that do not count; first it is checked that both
have computed the same weights, bit for bit. Memory: a process for each side, whose allocator maps every block above 64 KiB on
its own and gives it back when it is freed, so that the process is as large as what lives; after two steps the kernel's
high-water mark is reset, and one step is run. The form of the rules is ``aten``, the default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import cpu_name, keep_freed_memory
from trainloop.files import write_text
from trainloop.loop.step import train_step
from trainloop.models import build_model
from trainloop.report.weights import weights_sha256
from trainloop.stages import build_stages
from trainloop.stages.context import StageContext

MODELS = ("small_cnn", "resnet18", "torchvision.densenet121")
MODES = ("builtin", "manual")
BATCH_SIZE = 128
WARM_UP = 2
EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
Step = Callable[[], None]


def make_step(name: str, mode: str) -> tuple[Step, torch.nn.Module]:
    """Return a function that does one training step, and the model it trains."""
    optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    config = RunConfig.model_validate({"mode": mode, "model": {"name": name}, "optimizer": optimizer})
    torch.manual_seed(0)
    half = (0.5, 0.5, 0.5)
    model = build_model(
        config.model, num_classes=10, image_shape=(3, 32, 32), train_images=None, mean=half, std=half
    ).train()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH_SIZE, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 10, (BATCH_SIZE,), generator=generator)
    batch = Batch(x, labels, torch.arange(BATCH_SIZE))
    stages = build_stages(StageContext(model, config, torch.device("cpu")))
    return lambda: train_step(stages, batch, 1, 0.01) and None, model


def times(name: str, steps: int) -> dict[str, list[float]]:
    """Return ms a step of each mode, taking turns; the weights of the two must agree at the end."""
    sides = {mode: make_step(name, mode) for mode in MODES}
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    for step in range(WARM_UP + steps):
        for mode, (run, _) in sides.items():
            began = time.perf_counter()
            run()
            if step >= WARM_UP:
                found[mode].append(1e3 * (time.perf_counter() - began))
    if len({weights_sha256(model) for _, model in sides.values()}) > 1:
        raise SystemExit(f"{name}: the two modes have other weights after {WARM_UP + steps} steps")
    return found


def memory_of_one_step(name: str, mode: str) -> float:
    """Return the MiB that one step needs above what is there when it begins; for a process of its own."""
    run, _ = make_step(name, mode)
    for _ in range(WARM_UP):
        run()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def memory(name: str, rounds: int) -> dict[str, list[float]]:
    """Return MiB of each mode, a fresh process for each number."""
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            command = [sys.executable, __file__, "--memory-of", name, mode]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **EXACT})
            found[mode].append(float(done.stdout))
    return found


def table(samples: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Return the result as Markdown."""
    lines = [
        "| model | builtin, ms | manual, ms | manual ÷ builtin (quartiles) | builtin, MiB | manual, MiB | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in samples.items():
        ms, mib = found["ms_per_step"], found["mib_of_a_step"]
        ratios = [manual / builtin for builtin, manual in zip(ms["builtin"], ms["manual"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        builtin, manual = (statistics.median(mib[mode]) for mode in MODES)
        lines.append(
            f"| {name} | {statistics.median(ms['builtin']):,.1f} | {statistics.median(ms['manual']):,.1f} "
            f"| {middle:.3f} ({low:.3f} to {high:.3f}) | {builtin:,.1f} | {manual:,.1f} | {manual / builtin:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", nargs=2, metavar=("MODEL", "MODE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.memory_of:
        print(memory_of_one_step(*arguments.memory_of))
        return
    samples = {}
    mib = {name: memory(name, rounds=3) for name in MODELS}
    keep_freed_memory()
    for name in MODELS:
        samples[name] = {"ms_per_step": times(name, arguments.steps), "mib_of_a_step": mib[name]}
    machine = f"{cpu_name()}, 2 threads, torch {torch.__version__}, {date.today().isoformat()}"
    print(f"{table(samples)}\n\n{machine}; {arguments.steps} steps of {BATCH_SIZE} images of 32×32, taking turns")
    if arguments.json:
        write_text(arguments.json, json.dumps({"machine": machine, "samples": samples}, indent=1) + "\n")


if __name__ == "__main__":
    main()
