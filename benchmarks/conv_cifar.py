"""What the measurements of ``trainloop benchmark-conv --suite cifar`` say of the layers that most of a CNN's time goes into.

    trainloop benchmark-conv --suite cifar --json benchmarks/conv_cifar.json --markdown benchmarks/conv_cifar.md
    python benchmarks/conv_cifar.py [--algorithm winograd] [--channels 64]

It takes the rows with stride 1 and at least so many in_channels, and prints for each direction the geometric mean of the
speed-ups against the better built-in, the slowest row, the largest error beside the library's and the largest workspace.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).with_suffix(".json")


def selected(report: dict[str, Any], algorithm: str, channels: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of an algorithm with stride 1 and enough channels, by direction."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in report["rows"]:
        words = row["problem"].split()
        num_channels = next(int(word[1:]) for word in words if word.startswith("c"))
        if row["algorithm"] == algorithm and row["ok"] and num_channels >= channels and "s2" not in words:
            found.setdefault(row["direction"], []).append(row)
    return found


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return one line for each direction, as Markdown."""
    lines = [
        "| direction | rows | geometric mean | slowest | largest error | of the library's | workspace, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for direction, found in rows.items():
        speedups = [row["speedup"] for row in found]
        mean = math.exp(sum(map(math.log, speedups)) / len(speedups))
        slowest = min(found, key=lambda row: row["speedup"])
        error = max(row["rel_err"] for row in found)
        factor = max(row["rel_err"] / row["library_rel_err"] for row in found)
        space = max(row["workspace_mib"] for row in found)
        lines.append(
            f"| {direction} | {len(found)} | {mean:.2f}× | {slowest['speedup']:.2f}× ({slowest['problem']}) "
            f"| {error:.1e} | {factor:.1f}× | {space:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the samples and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithm", default="winograd")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--json", type=Path, default=SAMPLES)
    arguments = parser.parse_args()
    report = json.loads(arguments.json.read_text(encoding="utf-8"))
    print(table(selected(report, arguments.algorithm, arguments.channels)))


if __name__ == "__main__":
    main()
