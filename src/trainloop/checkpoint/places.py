"""Where the checkpoints of a run lie, and what their names say of them. Loads neither torch nor anything heavy."""

from __future__ import annotations

import re
from pathlib import Path

CHECKPOINTS = "checkpoints"
NAME = re.compile(r"step-(\d{8,18})(-end)?")


def folder_name(step: int, *, epoch_closed: bool) -> str:
    """Return the name of a checkpoint's folder; the end of an epoch, evaluation included, is a place of its own."""
    return f"step-{step:08d}" + ("-end" if epoch_closed else "")


def place(path: Path) -> tuple[int, bool]:
    """Return how far a checkpoint is, by its name: the step, and whether the epoch was closed there."""
    match = NAME.fullmatch(path.name)
    return (int(match[1]), bool(match[2])) if match else (-1, False)


def checkpoint_folders(run: Path) -> list[Path]:
    """Return the folders of a run named as checkpoints, the furthest first; nobody has looked into them."""
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(named, key=place, reverse=True)
