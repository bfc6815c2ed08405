"""What a training step costs above a bare PyTorch loop that does the same work.

    python benchmarks/step_overhead.py [--pairs 60] [--steps 200] [--json benchmarks/step_overhead.json]

Both sides train the same tiny network (convolution 3→8 with stride 2, ReLU, average pool, linear) on the same batches of 16,
on one thread, with SGD: zero_grad, forward, cross_entropy, backward, step. Ours runs the product's own epoch loop with the
live console (drawn into a sink), the metrics file and stage timing on, in both modes. The sides run in turn, a block of
steps each, and each pair of blocks gives one difference; reported are the medians with the quartiles.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import cpu_name
from trainloop.files import AppendFile, write_text
from trainloop.loop.boundary import StepBoundary
from trainloop.loop.events import Broadcast, EpochDone, RunStarted
from trainloop.loop.schedule import Span
from trainloop.loop.timing import StageClock
from trainloop.loop.trainer import EvalSet, Training, run_epoch
from trainloop.report.console import ConsoleSink
from trainloop.report.curves import History
from trainloop.report.json_lines import MetricsFile
from trainloop.stages import build_stages
from trainloop.stages.context import StageContext

BATCH_SIZE = 16
NUM_BATCHES = 10
LR = 0.01
CPU = torch.device("cpu")
Block = Callable[[], float]


def make_model() -> nn.Module:
    """Return the tiny network, always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


def make_batches() -> list[Batch]:
    """Return a few batches of 16 images of 32×32."""
    generator = torch.Generator().manual_seed(1)
    return [
        Batch(
            torch.randn(BATCH_SIZE, 3, 32, 32, generator=generator),
            torch.randint(0, 10, (BATCH_SIZE,), generator=generator),
            torch.arange(BATCH_SIZE),
        )
        for _ in range(NUM_BATCHES)
    ]


def bare_block(batches: list[Batch], steps: int) -> Block:
    """Return a block of steps of the bare loop, which returns its seconds."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def block() -> float:
        began = time.perf_counter()
        for step in range(steps):
            batch = batches[step % NUM_BATCHES]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch.x), batch.y)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - began

    return block


def our_block(mode: str, batches: list[Batch], steps: int, stack: contextlib.ExitStack, folder: Path) -> Block:
    """Return a block of steps of the product's loop, everything switched on, which returns its seconds."""
    config = RunConfig.model_validate({"mode": mode, "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.0}})
    model = make_model()
    screen = stack.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115 - the stack closes it
    console = Console(file=screen, force_terminal=True, width=120)
    sink = ConsoleSink(console, live=True)
    emit = Broadcast([MetricsFile(AppendFile(folder / f"{mode}.jsonl"), every=1), History(), sink])
    stack.callback(emit.close)
    training = Training(
        model=model,
        stages=build_stages(StageContext(model, config, CPU)),
        lr=lambda _: LR,
        span=Span(10**9, steps),
        epoch_batches=lambda _: (batches[step % NUM_BATCHES] for step in range(steps)),
        parts=1,
        val=None,
        test=EvalSet("test", 0, lambda: iter(())),
        num_classes=10,
        average=None,
        device=CPU,
        clock=StageClock(CPU, config.log.timing_every),
    )
    boundary = StepBoundary(emit, CPU)
    emit(RunStarted({"model": "tiny"}, 10**9, 10**6, steps))
    epochs = iter(range(1, 10**6))

    def block() -> float:
        epoch = next(epochs)
        began = time.perf_counter()
        run_epoch(training, boundary, epoch)
        emit(EpochDone(epoch, boundary.step, LR, 1.0, 0.1, None, None, 1.0, 1.0))
        return time.perf_counter() - began

    return block


def measure(pairs: int, steps: int) -> dict[str, list[float]]:
    """Return µs a step of each side, one value a block, the blocks interleaved."""
    batches = make_batches()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        blocks = {
            "bare": bare_block(batches, steps),
            "builtin": our_block("builtin", batches, steps, stack, Path(folder)),
            "manual": our_block("manual", batches, steps, stack, Path(folder)),
        }
        for block in blocks.values():
            block()
        samples: dict[str, list[float]] = {name: [] for name in blocks}
        for pair in range(pairs):
            # Turn the order around every time, so that a drift of the machine favours no side.
            for name in sorted(blocks, reverse=pair % 2 == 1):
                samples[name].append(1e6 * blocks[name]() / steps)
    return samples


def table(samples: dict[str, list[float]]) -> str:
    """Return the result as Markdown."""
    lines = ["| loop | µs a step | above bare (quartiles) |", "|---|---|---|"]
    for name, values in samples.items():
        extra = [value - bare for value, bare in zip(values, samples["bare"], strict=True)]
        low, middle, high = statistics.quantiles(extra, n=4)
        above = "" if name == "bare" else f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"
        lines.append(f"| {name} | {statistics.median(values):,.1f} | {above} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samples = measure(arguments.pairs, arguments.steps)
    machine = f"{cpu_name()}, 1 thread, torch {torch.__version__}, {date.today().isoformat()}"
    print(f"{table(samples)}\n\n{machine}; {arguments.pairs} interleaved blocks of {arguments.steps} steps each")
    if arguments.json:
        facts = {"machine": machine, "steps_per_block": arguments.steps, "us_per_step": samples}
        write_text(arguments.json, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
