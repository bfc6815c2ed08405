"""Write the folder, and make sure that its script shows what the comparison found."""

from __future__ import annotations

import contextlib
import io
import math
import runpy
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from trainloop.compare.reproduction.clipping import clipping_script
from trainloop.compare.reproduction.gradient import gradient_script, loss_script
from trainloop.compare.reproduction.recorded import recorded_script
from trainloop.compare.reproduction.scene import Reproduction, Scene
from trainloop.compare.reproduction.update import members_of, update_script
from trainloop.compare.run import Comparison
from trainloop.compare.settings import Sides
from trainloop.files import make_new_folder, remove_if_unused, write_bytes, write_text
from trainloop.random_state import RandomState

SCRIPT, TENSORS = "reproduce.py", "tensors.safetensors"
RUNS = Path("runs")
SAME_VALUE = 0.01
"""share of the difference by which a value may miss the recorded one and still be that difference"""


def default_folder(config: Path | None) -> Path:
    """Return ``runs/compare-<config>-<date>-<time>``; nothing is made yet."""
    stem = "defaults" if config is None else config.stem
    return RUNS / f"compare-{stem}-{datetime.now():%Y%m%d-%H%M%S}"


def write_reproduction(comparison: Comparison, sides: Sides | None, folder: Path) -> Path:
    """Write the first difference of a comparison as a folder with tensors and a script.

    The smallest script comes first, and each is tried here; the one that shows the recorded values stays.

    Args:
        comparison: that has found a difference.
        sides: how the two are described; None where they are Python objects, which a script cannot import.
        folder: to be made; if there is one of this name, ``-2`` and so on is put behind it.

    Returns:
        the folder.

    Raises:
        ResourceError: it cannot be written.
    """
    scene, folder = Scene.of(comparison, sides), _new(folder)
    try:
        for content in _attempts(scene):
            write_bytes(folder / TENSORS, save(content.tensors))
            write_text(folder / SCRIPT, content.text)
            if shows(folder / SCRIPT, scene):
                break
    finally:
        # Where the disk was full, nothing but the folder may be there.
        remove_if_unused(folder)
    return folder


def _new(folder: Path) -> Path:
    attempt, wanted = 1, folder
    while not make_new_folder(wanted):
        attempt += 1
        wanted = folder.with_name(f"{folder.name}-{attempt}")
    return wanted


def _attempts(scene: Scene) -> Iterator[Reproduction]:
    if scene.reference is None or scene.candidate is None:
        yield recorded_script(scene, "The two sides are Python objects, which a script cannot import.")
        return
    if scene.reference.side.device != scene.candidate.side.device:
        yield recorded_script(scene, "The two sides ran on different devices.")
        return
    for make in _of_stage(scene):
        # Optimizers and models of somebody's own come in every shape; none of them may cost the verdict.
        with contextlib.suppress(Exception):
            yield make()
    yield recorded_script(scene, "The stage alone, from the recorded tensors, does not show the difference.")


def _of_stage(scene: Scene) -> list[Callable[[], Reproduction]]:
    """Return what makes the scripts that run both sides, the smallest first."""
    assert scene.reference is not None
    if scene.stage in ("step", "zero_grad"):
        note = "The parameter alone does not show the difference, so all of them take part."
        return [
            partial(update_script, scene, [scene.key.name]),
            partial(update_script, scene, members_of(scene.reference), note),
        ]
    if scene.stage == "sync":
        return [partial(clipping_script, scene)]
    if scene.stage == "loss":
        return [partial(loss_script, scene)]
    feeding = (False,) if scene.record.parts > 1 else (False, True)
    return [partial(gradient_script, scene, feed=feed) for feed in feeding]


def shows(script: Path, scene: Scene) -> bool:
    """Run a script here, and see whether it shows the difference with the recorded values."""
    random, threads = RandomState(torch.device("cpu")), torch.get_num_threads()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            functions = runpy.run_path(str(script), run_name="reproduction")
            one, two = functions["reference"](), functions["candidate"]()
            return bool(functions["show"](one, two)) and _as_recorded(one, two, scene)
    finally:
        random.rewind()
        torch.set_num_threads(threads)
    return False


def _as_recorded(one: Any, two: Any, scene: Scene) -> bool:
    found = scene.differing.judged.difference
    if not math.isfinite(found.abs_err):
        return True
    slack = SAME_VALUE * found.abs_err
    pairs: tuple[tuple[Tensor, float], ...] = ((one, found.reference), (two, found.candidate))
    return all(abs(value[found.index].item() - recorded) <= slack for value, recorded in pairs)
