"""``trainloop`` with one thing broken on purpose, for the controls: ``python broken_program.py FAULT train …``."""

from __future__ import annotations

import sys

from trainloop.checkpoint import capture
from trainloop.checkpoint.store import CheckpointStore
from trainloop.cli.app import main
from trainloop.files import remove_flat_folder


def remove_before_writing():
    """Make room for a checkpoint before it is written, as a writer that saves space would."""
    save = CheckpointStore.save

    def saving(self, saved):
        for path in self.folders():
            remove_flat_folder(path)
        return save(self, saved)

    CheckpointStore.save = saving


def forget_the_optimizer():
    """Save a run without what its optimizer remembers."""
    capture.optimizer_entries = lambda _training: iter(())


FAULTS = {
    "remove before writing": remove_before_writing,
    "forget the optimizer": forget_the_optimizer,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
