"""Training resnet18 with convolutions by hand: the whole manual step beside the whole builtin one, and what both learn.

    python benchmarks/conv_training.py [--steps 40] [--seeds 3] [--rounds 9] [--json benchmarks/conv_training.json]

Every side is the product's own: its stages over its resnet18, batches of 128 of the full CIFAR-10 (flip, shift by 4),
channels_last, SGD with momentum. Builtin runs eagerly and under ``torch.compile``; manual with ``conv: aten`` and with
``conv: auto`` and the compiled update.

Time: the sides take turns step by step in one process, on the same batches, after two steps each that do not count (they
compile). Learning: for each seed builtin eager and manual ``auto`` train from the same weights on the same batches; at the
end the mean losses of the last ten steps are subtracted. Paired seeds agree if the 95 % interval of the mean difference
(Student's t) contains 0; the table has it beside the spread between seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch

from trainloop.build import build_network, pipeline_settings
from trainloop.config.schema import RunConfig
from trainloop.data.dataset import Dataset
from trainloop.data.load import load_dataset
from trainloop.data.pipeline import Batch, BatchPipeline
from trainloop.device import cpu_name, keep_freed_memory
from trainloop.files import write_text
from trainloop.loop.step import train_step
from trainloop.stages import build_stages
from trainloop.stages.context import StageContext

SIDES: dict[str, dict[str, Any]] = {
    "builtin eager": {"mode": "builtin"},
    "builtin compiled": {"mode": "builtin", "train": {"compile": True}},
    "manual, conv aten": {"mode": "manual", "stages": {"step": "compiled"}},
    "manual, conv auto": {"mode": "manual", "stages": {"step": "compiled", "conv": "auto"}},
}
PAIR = ("builtin eager", "manual, conv auto")
WARM_UP = 2
LAST = 10
LR = 0.05
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""degrees of freedom → quantile 0.975 of Student's t"""
Step = Callable[[Batch], float]


def config_of(side: str, seed: int) -> RunConfig:
    """Return the config of a side."""
    own = SIDES[side]
    return RunConfig.model_validate(
        {
            "seed": seed,
            "data": {"dataset": "cifar10", "augment": {"flip": "random", "translate": 4}},
            "model": {"name": "resnet18"},
            "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
            **own,
            "train": {"batch_size": 128, "channels_last": True, **own.get("train", {})},
        }
    )


def make_step(side: str, seed: int, dataset: Dataset) -> Step:
    """Return a function that trains on one batch and returns its loss."""
    config, device = config_of(side, seed), torch.device("cpu")
    torch.manual_seed(seed)
    model = build_network(config, dataset, device).train()
    stages = build_stages(StageContext(model, config, device))
    return lambda batch: float(train_step(stages, batch, 1, LR).loss)


def batches_of(seed: int, dataset: Dataset) -> Iterator[Batch]:
    """Return the batches of one epoch after the other."""
    config = config_of(PAIR[0], seed)
    pipeline = BatchPipeline(dataset.train, pipeline_settings(config, dataset, torch.device("cpu")))
    return chain.from_iterable(pipeline.epoch(epoch) for epoch in count())


def times(rounds: int, dataset: Dataset) -> dict[str, list[float]]:
    """Return ms a step of each side, taking turns."""
    steps = {side: make_step(side, 0, dataset) for side in SIDES}
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for number, batch in enumerate(islice(batches_of(0, dataset), WARM_UP + rounds)):
        sides = list(steps) if number % 2 else list(reversed(steps))
        for side in sides:
            began = time.perf_counter()
            steps[side](batch)
            if number >= WARM_UP:
                found[side].append(1e3 * (time.perf_counter() - began))
    return found


def curves(seeds: int, num_steps: int, dataset: Dataset) -> dict[str, list[list[float]]]:
    """Return, for each side of the pair, a list of losses for each seed."""
    found: dict[str, list[list[float]]] = {side: [] for side in PAIR}
    for seed in range(seeds):
        for side in PAIR:
            step = make_step(side, seed, dataset)
            found[side].append([step(batch) for batch in islice(batches_of(seed, dataset), num_steps)])
    return found


def time_table(found: dict[str, list[float]]) -> str:
    """Return the times as Markdown."""
    better = min((PAIR[0], "builtin compiled"), key=lambda side: statistics.median(found[side]))
    lines = [f"| side | ms a step (quartiles) | times as fast as {better} |", "|---|---|---|"]
    for side, ms in found.items():
        low, middle, high = statistics.quantiles(ms, n=4)
        ratios = [one / other for one, other in zip(found[better], ms, strict=True)]
        q1, ratio, q3 = statistics.quantiles(ratios, n=4)
        lines.append(f"| {side} | {middle:,.0f} ({low:,.0f} to {high:,.0f}) | {ratio:.2f} ({q1:.2f} to {q3:.2f}) |")
    return "\n".join(lines)


def curve_text(found: dict[str, list[list[float]]]) -> str:
    """Return what the losses say, in two lines."""
    ends = {side: [statistics.mean(losses[-LAST:]) for losses in runs] for side, runs in found.items()}
    differences = [two - one for one, two in zip(ends[PAIR[0]], ends[PAIR[1]], strict=True)]
    mean, degrees = statistics.mean(differences), len(differences) - 1
    reach = STUDENT[degrees] * statistics.stdev(differences) / len(differences) ** 0.5
    spread = statistics.stdev(ends[PAIR[0]])
    verdict = "indistinguishable" if abs(mean) <= reach else "DIFFERENT"
    return (
        f"loss of the last {LAST} of {len(found[PAIR[0]][0])} steps, {len(differences)} paired seeds: "
        f"{PAIR[1]} minus {PAIR[0]} {mean:+.4f} (95 % interval {mean - reach:+.4f} to {mean + reach:+.4f}): {verdict}\n"
        f"standard deviation between seeds {spread:.4f}; "
        + "; ".join(f"{side} {', '.join(f'{end:.3f}' for end in runs)}" for side, runs in ends.items())
    )


def main() -> None:
    """Measure, print, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    keep_freed_memory()
    dataset = load_dataset(config_of(PAIR[0], 0).data, print)
    machine = f"{cpu_name()}, 2 threads, torch {torch.__version__}, {date.today().isoformat()}"
    ms = times(arguments.rounds, dataset)
    print(f"{time_table(ms)}\n\n{machine}; {arguments.rounds} steps of 128 images each, taking turns", flush=True)
    losses = curves(arguments.seeds, arguments.steps, dataset) if arguments.seeds else {}
    if arguments.seeds > 1:
        print(curve_text(losses))
    if arguments.json:
        content = {"machine": machine, "ms_per_step": ms, "losses": losses}
        write_text(arguments.json, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
