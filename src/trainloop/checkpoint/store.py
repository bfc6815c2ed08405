"""The checkpoints of one run: the newest that verifies, how many stay, and what a dead process left behind."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from trainloop.checkpoint.folder import read_checkpoint, write_checkpoint
from trainloop.checkpoint.layout import Saved
from trainloop.checkpoint.manifest import verify
from trainloop.checkpoint.places import CHECKPOINTS, checkpoint_folders, folder_name, place
from trainloop.errors import CheckpointError
from trainloop.files import make_folder, remove_folder, remove_whole, require_plain_folder, sync_folder, writing
from trainloop.files.whole import half_done


@dataclass(frozen=True)
class Found:
    """What a search for the newest checkpoint gave.

    Args:
        path: of the newest that verifies; None where there is none.
        saved: its content.
        rejected: newer ones that were passed over, with the reason.
    """

    path: Path | None
    saved: Saved | None
    rejected: tuple[tuple[Path, CheckpointError], ...]


class CheckpointStore:
    """The folder ``checkpoints`` of a run.

    Args:
        run: the run folder.
        keep: how many of the newest stay.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.path = run / CHECKPOINTS
        self.keep = keep
        self._verified: set[Path] = set()

    def folders(self) -> list[Path]:
        """Return the folders named as checkpoints, the furthest first; nobody has looked into them."""
        return checkpoint_folders(self.path.parent)

    def newest(self) -> Found:
        """Read the furthest checkpoint that verifies, passing over those that do not.

        Raises:
            UsageError: the folder of the checkpoints is a link.
        """
        require_plain_folder(self.path)
        rejected = []
        for path in self.folders():
            try:
                saved = read_checkpoint(path)
            except CheckpointError as error:
                rejected.append((path, error))
            else:
                self._verified.add(path)
                return Found(path, saved, tuple(rejected))
        return Found(None, None, tuple(rejected))

    def save(self, saved: Saved) -> tuple[Path, int]:
        """Write a checkpoint and verify it; then remove those that are not to be kept any more.

        Args:
            saved: what to write; further than every checkpoint here, see :meth:`clean`.

        Returns:
            its folder, and the bytes written (0 where it was there already).

        Raises:
            ResourceError: the disk refuses; the older checkpoints stay.
            NonFiniteError, CheckpointError: see :func:`~trainloop.checkpoint.folder.write_checkpoint`.
        """
        position = saved.facts.position
        path = self.path / folder_name(position.step, epoch_closed=position.epoch_closed)
        make_folder(self.path)
        if self._is_there(path):
            return path, 0
        written = write_checkpoint(path, saved)
        self._verified.add(path)
        best = saved.facts.best
        # What the disk refuses here costs space, not the checkpoint.
        with contextlib.suppress(OSError):
            self._prune(newest=path, best=best.folder if best else None)
        return path, written

    def clean(self, *, after: Path | None) -> None:
        """Remove what a process that died left half done, and checkpoints further on than the one a run goes on from.

        Those are damaged, or of a past that this run does not share; left there, they would win the next time.

        Args:
            after: the checkpoint that the run goes on from, of this run or of another; None for a run that begins.

        Raises:
            UsageError: the folder of the checkpoints is a link.
            ResourceError: the disk refuses.
        """
        require_plain_folder(self.path)
        with writing(self.path):
            for path in (*half_done(self.path.parent), *half_done(self.path)):
                remove_whole(path)
            if after is not None and after.resolve().parent == self.path.resolve():
                further = [path for path in self.folders() if place(path) > place(after)]
                for path in further:
                    remove_folder(path)
                # Before a step is made: after a power cut they must not stand there again, beside metrics that are cut off.
                if further:
                    sync_folder(self.path)

    def _is_there(self, path: Path) -> bool:
        """Say whether this place of the run is saved already; a damaged checkpoint of it is removed."""
        if not path.exists():
            return False
        if self._verifies(path):
            return True
        with writing(path):
            remove_folder(path)
        return False

    def _prune(self, *, newest: Path, best: str | None) -> None:
        """Remove what lies behind the newest so many that verify; the best epoch's stays."""
        kept = 1
        for path in self.folders():
            if path == newest or path.name == best:
                continue
            if kept < self.keep and self._verifies(path):
                kept += 1
            else:
                remove_folder(path)

    def _verifies(self, path: Path) -> bool:
        """Say whether a checkpoint is whole; each is read once."""
        if path not in self._verified:
            try:
                verify(path)
            except CheckpointError:
                return False
            self._verified.add(path)
        return True
