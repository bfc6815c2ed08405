"""What the loop asks of whoever keeps its checkpoints and listens for interruptions."""

from __future__ import annotations

import contextlib
from typing import Protocol

from trainloop.loop.progress import Progress


class Keeper(Protocol):
    """Asked at every place from which a run can go on."""

    def due(self, step: int, seconds: float) -> bool:
        """Say whether there is something to do after this step; it is on the path of every step."""

    def after_step(self, progress: Progress) -> None:
        """Do what is due: save, or save and end the run.

        Raises:
            InterruptedRunError: the run was asked to end; it is saved.
        """

    def after_epoch(self, progress: Progress) -> None:
        """Take note of an epoch that is closed, evaluation included; may save, and end the run as after a step."""

    def at_end(self, progress: Progress) -> None:
        """Take note that every step is made; the test follows."""

    def at_once(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which an interruption is raised where it comes, for work that changes nothing."""

    def interrupted(self, progress: Progress) -> None:
        """Save what stood before an evaluation that was interrupted."""


class NothingKept:
    """A keeper that keeps nothing and hears nothing."""

    def due(self, step: int, seconds: float) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False."""
        return False

    def after_step(self, progress: Progress) -> None:
        """Do nothing."""

    def after_epoch(self, progress: Progress) -> None:
        """Do nothing."""

    def at_end(self, progress: Progress) -> None:
        """Do nothing."""

    def at_once(self) -> contextlib.AbstractContextManager[object]:
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    def interrupted(self, progress: Progress) -> None:
        """Do nothing."""
