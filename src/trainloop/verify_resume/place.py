"""Where the runs of a proof lie, and whether they stay."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainloop.errors import InterruptedRunError, UsageError
from trainloop.files import make_new_folder


@dataclass
class Place:
    """A folder for the runs of a proof.

    Args:
        path: the folder.
        keep: leave it there at the end.
    """

    path: Path
    keep: bool


@contextlib.contextmanager
def proof_folder(keep: Path | None) -> Iterator[Place]:
    """Make a folder for the runs, and remove it at the end unless it is to stay; an error leaves it, for it explains it.

    Args:
        keep: the folder, which is new; None takes a temporary one.

    Raises:
        UsageError: it is there already.
        ResourceError: it cannot be made.
    """
    if keep is None:
        place = Place(Path(tempfile.mkdtemp(prefix="trainloop-verify-resume-")), keep=False)
    elif make_new_folder(keep):
        place = Place(keep, keep=True)
    else:
        raise UsageError(
            "the runs go into a new folder", where="--keep", found=str(keep), expected="a name that is free"
        )
    try:
        yield place
    except InterruptedRunError:
        remove(place)
        raise
    remove(place)


def remove(place: Place) -> None:
    """Remove the folder with the runs, unless it stays."""
    if not place.keep:
        shutil.rmtree(place.path, ignore_errors=True)
