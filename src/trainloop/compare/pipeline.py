"""The whole comparison of two described sides: build, run, look for the cause, time, conclude."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from trainloop.compare.catalogue.fit import find_cause
from trainloop.compare.conclude import conclude, overall
from trainloop.compare.configured import configure
from trainloop.compare.reproduction import write_reproduction
from trainloop.compare.run import Comparison, Settings
from trainloop.compare.settings import Sides
from trainloop.compare.timing import DEFAULT_BUDGET_S, measure_both
from trainloop.compare.verdict import Verdict
from trainloop.data.pipeline import Batch
from trainloop.device import device_name
from trainloop.errors import TrainloopError


@dataclass(frozen=True)
class Extras:
    """What is done beside the comparison itself.

    Args:
        timing_budget_s: time both sides for about as long if they are equal; 0 times nothing.
        reproduction: folder to make if they are different, with a script that shows it alone; None makes none.
    """

    timing_budget_s: float = DEFAULT_BUDGET_S
    reproduction: Path | None = None


def compare_sides(
    sides: Sides,
    settings: Settings,
    extras: Extras | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Compare two sides over one config.

    Args:
        sides: described.
        settings: what to compare.
        extras: what to do besides.
        announce: told in one line what takes time.

    Raises:
        TrainloopError: a side cannot be built.
    """
    began = time.perf_counter()
    extras = extras or Extras()
    compared = configure(sides, announce)
    first = next(compared.batches)
    comparison = Comparison(compared.reference, compared.candidate, settings, announce)
    steps = min(settings.steps, compared.total_steps)
    comparison.run(itertools.islice(itertools.chain([first], compared.batches), steps), compared.lr)
    return finish(comparison, first, compared.lr(0), extras, began, sides)


def finish(
    comparison: Comparison,
    batch: Batch,
    lr: float,
    extras: Extras,
    began: float,
    sides: Sides | None = None,
) -> Verdict:
    """Look for the cause of a difference, time what is equal, and conclude.

    Args:
        comparison: that has run.
        batch: to time on.
        lr: likewise.
        extras: what to do.
        began: when, by ``time.perf_counter()``.
        sides: as they were described; None where they are Python objects.
    """
    cause = find_cause(comparison)
    timing = None
    if extras.timing_budget_s and overall(comparison) in ("equal", "equal_up_to_rounding"):
        timing = measure_both(comparison.reference, comparison.candidate, batch, lr, budget_s=extras.timing_budget_s)
    reproduction = reproduced(comparison, sides, extras.reproduction)
    return conclude(
        comparison,
        cause=cause,
        timing=timing,
        seconds=time.perf_counter() - began,
        environment=None if sides is None else facts(comparison, sides),
        reproduction=reproduction,
    )


def reproduced(comparison: Comparison, sides: Sides | None, folder: Path | None) -> str:
    """Write the first difference down, if there is one and a folder for it; what the disk refuses becomes a remark.

    Returns:
        the folder that was made; empty where there is none.
    """
    if folder is None or not comparison.differing:
        return ""
    try:
        return str(write_reproduction(comparison, sides, folder))
    except TrainloopError as error:
        fault = error.faults[0]
        comparison.remarks[f"the script that shows the difference alone is missing: {fault.what}: {fault.found}"] = None
        return ""


def facts(comparison: Comparison, sides: Sides) -> dict[str, str]:
    """Return what decides about bits, by name."""
    config, device = sides.reference, comparison.reference.device
    flags = [
        f"{torch.get_num_threads()} threads",
        "channels_last" if config.train.channels_last else "contiguous",
        f"deterministic {config.deterministic}",
    ]
    if device.type == "cuda":
        flags.append(f"tf32 {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}")
    return {
        "data": f"{config.data.dataset} · batch {config.train.batch_size} · seed {config.seed}",
        "model": f"{config.model.name} · {sum(p.numel() for p in comparison.reference.model.parameters()):,} parameters · "
        f"{config.optimizer.name}",
        "machine": f"{device} · {device_name(device)} · torch {torch.__version__.partition('+')[0]} · {' · '.join(flags)}",
    }
