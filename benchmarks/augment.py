"""How many augmented training images a second the batch pipeline makes, beside two other ways to do the same.

    python benchmarks/augment.py [--rounds 15] [--threads 2] [--json benchmarks/augment.json]

Every way flips at random, translates by up to 2 or 4 pixels with a reflected border and normalises 32×32 RGB images into
float32 batches. The images are random bytes, 50,000 of them, as many as CIFAR-10 has.

- trainloop: a whole epoch of ``BatchPipeline``, the order and all draws included.
- indexing: the images padded beforehand, a batch picked by ``padded[n, c, y, x]`` with index tensors.
- torchvision: ``RandomCrop``, ``RandomHorizontalFlip``, ``ToDtype``, ``Normalize`` of transforms.v2, image by image, then
  stacked.

The ways run in turn, one block of images each, round by round, and the order turns around every round. Reported are
medians and quartiles over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.transforms import v2

from trainloop.config.schema import AugmentConfig
from trainloop.data.augment import normalise
from trainloop.data.dataset import ImageSet
from trainloop.data.pipeline import BatchPipeline, PipelineSettings
from trainloop.device import cpu_name
from trainloop.files import write_text

NUM_IMAGES = 50_000
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
Block = Callable[[], int]
"""Makes batches and returns the number of images in them."""


def make_images() -> ImageSet:
    """Return random images: what is in them does not change the work."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (NUM_IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return ImageSet(images, torch.zeros(NUM_IMAGES, dtype=torch.int64))


def our_block(images: ImageSet, translate: int, batch_size: int, channels_last: bool) -> Block:
    """Return a block of one epoch of the pipeline."""
    augment = AugmentConfig(flip="random", translate=translate)
    settings = PipelineSettings(batch_size, MEAN, STD, augment=augment, channels_last=channels_last)
    pipeline = BatchPipeline(images, settings)
    epochs = iter(range(10**6))
    return lambda: sum(len(batch.y) for batch in pipeline.epoch(next(epochs)))


def indexing_block(images: ImageSet, translate: int, batch_size: int, num_batches: int) -> Block:
    """Return a block of batches picked by index tensors."""
    padded = F.pad(images.images.float(), (translate,) * 4, mode="reflect").to(torch.uint8)
    settings = PipelineSettings(batch_size, MEAN, STD)
    channels, pixels = torch.arange(3).view(1, 3, 1, 1), torch.arange(32)

    def batch() -> Tensor:
        n = torch.randint(0, NUM_IMAGES, (batch_size, 1, 1, 1))
        y = pixels + torch.randint(0, 2 * translate + 1, (batch_size, 1))
        x = torch.where(torch.rand(batch_size, 1) < 0.5, pixels, pixels.flip(0))
        x = x + torch.randint(0, 2 * translate + 1, (batch_size, 1))
        picked = padded[n, channels, y[:, None, :, None], x[:, None, None, :]]
        return normalise(picked, settings.shift, settings.scale)

    return lambda: sum(len(batch()) for _ in range(num_batches))


def torchvision_block(images: ImageSet, translate: int, batch_size: int, num_batches: int) -> Block:
    """Return a block of batches made by torchvision's transforms, image by image."""
    transform = v2.Compose(
        [
            v2.RandomCrop(32, padding=translate, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def batch() -> Tensor:
        chosen = torch.randint(0, NUM_IMAGES, (batch_size,)).tolist()
        return torch.stack([transform(images.images[n]) for n in chosen])

    return lambda: sum(len(batch()) for _ in range(num_batches))


def make_blocks() -> dict[str, Block]:
    """Return every way by its name."""
    images = make_images()
    blocks: dict[str, Block] = {}
    for translate in (2, 4):
        for batch_size in (128, 512):
            for channels_last in (False, True):
                layout = "channels_last" if channels_last else "NCHW"
                name = f"trainloop, translate {translate}, batch {batch_size}, {layout}"
                blocks[name] = our_block(images, translate, batch_size, channels_last)
    for batch_size in (128, 512):
        name = f"indexing, translate 4, batch {batch_size}, NCHW"
        blocks[name] = indexing_block(images, 4, batch_size, num_batches=5_120 // batch_size)
    blocks["torchvision, translate 4, batch 128, NCHW"] = torchvision_block(images, 4, 128, num_batches=4)
    return blocks


def measure(rounds: int) -> dict[str, list[float]]:
    """Return images a second of each way, one value a round, the ways interleaved."""
    blocks = make_blocks()
    for block in blocks.values():
        block()
    samples: dict[str, list[float]] = {name: [] for name in blocks}
    for number in range(rounds):
        for name in list(blocks)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            count = blocks[name]()
            samples[name].append(count / (time.perf_counter() - began))
    return samples


def table(samples: dict[str, list[float]]) -> str:
    """Return the result as Markdown."""
    lines = ["| way | images/s | quartiles |", "|---|---:|---|"]
    for name, values in samples.items():
        low, middle, high = statistics.quantiles(values, n=4)
        lines.append(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    samples = measure(arguments.rounds)
    machine = (
        f"{cpu_name()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, {date.today().isoformat()}"
    )
    load = f"load average at the end {os.getloadavg()[0]:.1f}"
    print(f"{table(samples)}\n\n{machine}; {arguments.rounds} rounds, interleaved; {load}")
    if arguments.json:
        facts = {"machine": machine, "rounds": arguments.rounds, "load": load, "images_per_second": samples}
        write_text(arguments.json, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
