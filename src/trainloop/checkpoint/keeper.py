"""When a run is saved: at intervals, after the best epoch, at the end of the training, and when somebody asks."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable

from trainloop.checkpoint.layout import Best, Saved
from trainloop.checkpoint.places import folder_name
from trainloop.checkpoint.store import CheckpointStore
from trainloop.config.interval import Interval
from trainloop.errors import CheckpointError, InterruptedRunError, ResourceError
from trainloop.interruption import Control
from trainloop.loop.events import CheckpointSaved, Event, Notice
from trainloop.loop.progress import Progress

Capture = Callable[[Progress, Best | None], Saved]


class CheckpointKeeper:
    """Keep the checkpoints of one run; see :class:`~trainloop.loop.keeper.Keeper`.

    What the disk refuses does not end the training: it is said, and tried again at the next interval.

    Args:
        store: where they lie.
        capture: takes the state of the run.
        every: how often.
        judge: ``val_accuracy``, ``val_loss``, or None to keep no best epoch.
        control: what the run was asked from outside.
        emit: takes the events.
        start: where the run goes on from.
        best: the best epoch so far.
    """

    def __init__(
        self,
        store: CheckpointStore,
        capture: Capture,
        every: Interval,
        control: Control,
        emit: Callable[[Event], None],
        *,
        judge: str | None = None,
        start: Progress | None = None,
        best: Best | None = None,
    ) -> None:
        self._store = store
        self._capture = capture
        self._every = every
        self._judge = judge
        self._control = control
        self._emit = emit
        self._best = best
        self._next_step = self._next_seconds = math.inf
        self._set_next(start or Progress())

    def due(self, step: int, seconds: float) -> bool:
        """Say whether to save or to end after this step."""
        # From the first step on there is something to finish and to save.
        self._control.immediate = False
        return self._control.pending or step >= self._next_step or seconds >= self._next_seconds

    def after_step(self, progress: Progress) -> None:
        """Save, and end the run if it was asked to."""
        asked = self._control.take_save_request() or self._control.stop is not None
        saved = self._save(progress, asked=asked)
        self._end_if_asked(progress, saved=saved)

    def after_epoch(self, progress: Progress) -> None:
        """Save the best epoch, or every so many epochs; end the run if it was asked to."""
        improved = self._take_best(progress)
        whole = self._every.unit == "epochs" and progress.epoch % int(self._every.amount) == 0
        asked = self._control.pending and (self._control.take_save_request() or self._control.stop is not None)
        saved = self._save(progress, asked=asked) if improved or whole or asked else True
        self._end_if_asked(progress, saved=saved)

    def at_end(self, progress: Progress) -> None:
        """Save the end of the training, so that nothing after it can cost a step."""
        saved = self._save(progress, asked=self._control.take_save_request())
        self._end_if_asked(progress, saved=saved)

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which an interruption is raised where it comes."""
        return self._control.at_once()

    def interrupted(self, progress: Progress) -> None:
        """Save what stood before an evaluation that was interrupted."""
        self._save(progress, asked=True)

    def _take_best(self, progress: Progress) -> bool:
        value = getattr(progress, self._judge) if self._judge else None
        if value is None or math.isnan(value):
            return False
        sign = 1 if self._judge == "val_accuracy" else -1
        if self._best is not None and sign * value <= sign * self._best.value:
            return False
        self._best = Best(folder=folder_name(progress.step, epoch_closed=True), value=value)
        return True

    def _save(self, progress: Progress, *, asked: bool) -> bool:
        """Save; say whether the checkpoint is on the disk."""
        began = time.perf_counter()
        self._set_next(progress)
        try:
            path, written = self._store.save(self._capture(progress, self._best))
        except (ResourceError, CheckpointError) as error:
            fault = error.faults[0]
            facts = "; ".join(text for text in (fault.where, fault.found) if text)
            self._emit(Notice(f"no checkpoint at step {progress.step}: {fault.what} ({facts}); training goes on"))
            return False
        elapsed = 1e3 * (time.perf_counter() - began)
        self._emit(CheckpointSaved(progress.step, str(path), written, elapsed, asked))
        return True

    def _end_if_asked(self, progress: Progress, *, saved: bool) -> None:
        stop = self._control.stop
        if stop is None:
            return
        what = "saved" if saved else "not saved, the last checkpoint before it stands"
        raise InterruptedRunError(
            f"{stop.faults[0].what} after step {progress.step}, {what}", exit_code=stop.exit_code
        ) from None

    def _set_next(self, progress: Progress) -> None:
        if self._every.unit == "steps":
            self._next_step = progress.step + self._every.amount
        elif self._every.unit == "seconds":
            self._next_seconds = progress.seconds + self._every.amount
