"""What a training step costs above a bare PyTorch loop that does the same work.

    python benchmarks/step_overhead.py [--epochs 41] [--steps 1000] [--json benchmarks/step_overhead.json]

Both sides train the same tiny network (convolution 3→8 with stride 2, ReLU, average pool, linear) on the same batches of 16,
on one thread, with SGD: zero_grad, forward, cross_entropy, backward, step. Ours runs the product's own epoch loop with the
live console (drawn into a sink), the metrics file and stage timing on, in both modes.

A shared machine drifts within a second, so the sides take turns every 50 steps: the source of our batches runs 50 steps of
the bare loop whenever it is asked for the first batch of a chunk. One epoch of ours gives one difference of the two sums,
the end of the epoch included; reported are the medians over epochs with the quartiles.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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
from trainloop.loop import boundary as boundary_module
from trainloop.loop.boundary import EMIT_SECONDS
from trainloop.loop.events import Broadcast, EpochDone, RunStarted
from trainloop.loop.keeper import NothingKept
from trainloop.loop.progress import Progress
from trainloop.loop.schedule import Span
from trainloop.loop.timing import StageClock
from trainloop.loop.trainer import EvalSet, Training, TrainingLoop, frozen_heap
from trainloop.report.console import ConsoleSink
from trainloop.report.curves import History
from trainloop.report.json_lines import MetricsFile
from trainloop.stages import build_stages
from trainloop.stages.context import StageContext

BATCH_SIZE = 16
NUM_BATCHES = 10
LR = 0.01
CPU = torch.device("cpu")
CHUNK = 50


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


def bare_loop(batches: list[Batch]) -> Callable[[], None]:
    """Return a function that does one chunk of steps of the bare loop."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def chunk() -> None:
        for step in range(CHUNK):
            batch = batches[step % NUM_BATCHES]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch.x), batch.y)
            loss.backward()
            optimizer.step()

    return chunk


class TakingTurns:
    """Batches of an epoch, with a chunk of the bare loop in front of each chunk of ours.

    Args:
        batches: used over and over.
        steps: of an epoch.
    """

    def __init__(self, batches: list[Batch], steps: int) -> None:
        self.batches = batches
        self.steps = steps
        self.bare = bare_loop(batches)
        self.bare_seconds = 0.0

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:  # noqa: ARG002 - as a pipeline's
        """Yield the batches of an epoch, and add up the time of the bare loop."""
        self.bare_seconds = 0.0
        for step in range(self.steps):
            if step % CHUNK == 0:
                began = time.perf_counter()
                self.bare()
                self.bare_seconds += time.perf_counter() - began
            yield self.batches[step % NUM_BATCHES]


def paired_epochs(mode: str, epochs: int, steps: int, folder: Path) -> dict[str, list[float]]:
    """Return µs a step of the bare loop and of ours, one value an epoch."""
    config = RunConfig.model_validate({"mode": mode, "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.0}})
    model, turns = make_model(), TakingTurns(make_batches(), steps)
    found: dict[str, list[float]] = {"bare": [], mode: []}
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(Path(os.devnull).open("w"))
        sink = ConsoleSink(Console(file=screen, force_terminal=True, width=120), live=True)
        emit = Broadcast([MetricsFile(AppendFile(folder / f"{mode}.jsonl"), every=1), History(), sink])
        stack.callback(emit.close)
        training = make_training(model, config, turns, steps)
        # Half of the wall clock is the bare loop's; doubled, the interval keeps our rate of steps a report.
        boundary_module.EMIT_SECONDS = 2 * EMIT_SECONDS
        loop = TrainingLoop(training, emit, NothingKept(), Progress())
        emit(RunStarted({"model": "tiny"}, epochs * steps, epochs, steps))
        stack.enter_context(frozen_heap())
        loop.open_epoch()
        for epoch in range(1, epochs + 1):
            began = time.perf_counter()
            loop.run_epoch()
            emit(EpochDone(epoch, loop.boundary.step, LR, 1.0, 0.1, None, None, 1.0, 1.0))
            ours = time.perf_counter() - began - turns.bare_seconds
            found["bare"].append(1e6 * turns.bare_seconds / steps)
            found[mode].append(1e6 * ours / steps)
    # The first epoch warms caches and allocators up.
    return {name: values[1:] for name, values in found.items()}


def make_training(model: nn.Module, config: RunConfig, turns: TakingTurns, steps: int) -> Training:
    """Return the product's training of the tiny network."""
    return Training(
        model=model,
        stages=build_stages(StageContext(model, config, CPU)),
        lr=lambda _: LR,
        span=Span(10**9, steps),
        epoch_batches=turns.epoch,
        parts=1,
        val=None,
        test=EvalSet("test", 0, lambda: iter(())),
        num_classes=10,
        average=None,
        device=CPU,
        clock=StageClock(CPU, config.log.timing_every),
    )


def measure(epochs: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Return, for each mode, µs a step of both sides, one value an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        return {mode: paired_epochs(mode, epochs, steps, Path(folder)) for mode in ("builtin", "manual")}


def table(samples: dict[str, dict[str, list[float]]]) -> str:
    """Return the result as Markdown."""
    lines = ["| mode | bare, µs a step | ours, µs a step | above bare (quartiles) |", "|---|---|---|---|"]
    for mode, pair in samples.items():
        extra = [ours - bare for ours, bare in zip(pair[mode], pair["bare"], strict=True)]
        low, middle, high = statistics.quantiles(extra, n=4)
        bare, ours = (statistics.median(pair[name]) for name in ("bare", mode))
        lines.append(f"| {mode} | {bare:,.1f} | {ours:,.1f} | {middle:+.1f} ({low:+.1f} to {high:+.1f}) |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=41)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samples = measure(arguments.epochs, arguments.steps)
    machine = f"{cpu_name()}, 1 thread, torch {torch.__version__}, {date.today().isoformat()}"
    print(f"{table(samples)}\n\n{machine}; {arguments.epochs - 1} epochs of {arguments.steps} steps, turns of {CHUNK}")
    if arguments.json:
        facts = {"machine": machine, "steps_per_epoch": arguments.steps, "us_per_step": samples}
        write_text(arguments.json, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
