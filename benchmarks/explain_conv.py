"""How long ``trainloop explain-conv`` takes for large problems, after torch is there: the text, the page, an animation.

    python benchmarks/explain_conv.py [--problems 40] [--json benchmarks/explain_conv.json]

The problems have an input of 64×64 and a kernel of 11: some are chosen for being large, the others take their parameters by
chance. Each is explained anew for every way to look at it, as the command does it. The start, which is nearly all torch's own
import, is timed apart, in processes of their own.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from rich.console import Console

from trainloop.device import cpu_name
from trainloop.errors import UsageError
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.page.html import page_html
from trainloop.explain_conv.parse import parse_problem
from trainloop.explain_conv.pictures.pictures import MOST_FRAMES, animation
from trainloop.explain_conv.pictures.raster import gif
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.screen.page import page
from trainloop.explain_conv.screen.show import show
from trainloop.files import write_text

INPUT, WIDTH, STARTS = "64x64", 120, 5
LARGE = (
    "Conv2d(1, 1, 11, padding=5)",
    "Conv2d(16, 16, 11, padding=5, padding_mode='circular')",
    "ConvTranspose2d(1, 1, 11)",
    "ConvTranspose2d(1, 1, 11, stride=2, padding=1, output_padding=1)",
    "ConvTranspose2d(16, 16, 11, stride=2, padding=5)",
    "ConvTranspose2d(1, 1, 11, stride=31)",
    "ConvTranspose2d(1, 1, 11, stride=64)",
)


def chance(source: random.Random) -> str:
    """Return a module with a kernel of 11 and parameters by chance."""
    stride, dilation, padding = source.randint(1, 11), source.randint(1, 4), source.randint(0, 10)
    groups = source.choice((1, 1, 1, 2, 4))
    channels = f"{groups * source.randint(1, 3)}, {groups * source.randint(1, 3)}"
    numbers = f"stride={stride}, padding={padding}, dilation={dilation}, groups={groups}"
    if source.random() < 0.6:
        return f"ConvTranspose2d({channels}, 11, {numbers}, output_padding={source.randrange(max(stride, dilation))})"
    return f"Conv2d({channels}, 11, {numbers})"


def problems(count: int) -> list[str]:
    """Return the large ones, and as many by chance as there is room for; those that cannot be are drawn again."""
    source, texts = random.Random(7), list(LARGE)
    while len(texts) < count:
        text = chance(source)
        try:
            parse_problem(text, INPUT)
        except UsageError:
            continue
        texts.append(text)
    return texts


def text(explanation: Explanation) -> int:
    """Print the page of the terminal to nowhere, and return its length."""
    screen = io.StringIO()
    show(page(explanation, WIDTH), Console(file=screen, width=WIDTH))
    return len(screen.getvalue())


def html(explanation: Explanation) -> int:
    """Return the bytes of the HTML page."""
    return len(page_html(explanation).encode())


def animated(explanation: Explanation) -> int:
    """Return the bytes of the animation of the first steps."""
    return len(gif(animation(Walk(explanation)), 600, 2500, explanation.text))


WAYS: dict[str, Callable[[Explanation], int]] = {"text": text, "html": html, f"gif of {MOST_FRAMES} frames": animated}


def start_seconds() -> list[float]:
    """Return how long processes take that only import torch."""
    found = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    """Measure, print the table, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    animated(explain_conv(parse_problem("Conv2d(1, 1, 3)", "4x4")))  # loads the fonts
    rows: list[dict[str, object]] = []
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    sizes: dict[str, list[int]] = {name: [] for name in WAYS}
    for module in problems(arguments.problems):
        row: dict[str, object] = {"problem": module}
        for name, look in WAYS.items():
            began = time.perf_counter()
            sizes[name].append(look(explain_conv(parse_problem(module, INPUT))))
            times[name].append(time.perf_counter() - began)
            row[name] = {"seconds": times[name][-1], "bytes": sizes[name][-1]}
        rows.append(row)
        print(f"{module:90}", "  ".join(f"{times[name][-1]:6.2f} s" for name in WAYS), file=sys.stderr)
    start = start_seconds()
    print(f"| {len(rows)} problems of {INPUT}, kernel 11 | median, s | slowest, s | largest, kB |\n|---|---|---|---|")
    for name, samples in times.items():
        print(f"| {name} | {statistics.median(samples):.2f} | {max(samples):.2f} | {max(sizes[name]) / 1e3:,.0f} |")
    about = f"{cpu_name()}, torch {torch.__version__}, {date.today().isoformat()}"
    print(
        f"\n{about}; importing torch alone takes {statistics.median(start):.2f} s ({min(start):.2f} to {max(start):.2f})"
    )
    if arguments.json:
        write_text(
            arguments.json, json.dumps({"machine": about, "start_seconds": start, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
