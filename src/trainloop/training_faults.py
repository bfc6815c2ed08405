"""What is added to an error of a run: whether its checkpoint is to blame, what is kept, and how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from trainloop.checkpoint.store import CheckpointStore
from trainloop.errors import CheckpointError, InterruptedRunError, ResourceError
from trainloop.interruption import Control
from trainloop.plugin import first_line
from trainloop.report.run_folder import RunFolder


@contextlib.contextmanager
def how_to_go_on(folder: RunFolder, store: CheckpointStore, command: Callable[[Path], str]) -> Iterator[None]:
    """Add what is kept of the run, and how to go on, to an interruption and to what the disk refuses."""
    try:
        yield
    except ResourceError as error:
        kept, again = store.folders(), command(folder.path)
        *others, last = error.faults
        place = f"from {kept[0].name}" if kept else "from the first step"
        help = "; ".join(text for text in (last.help, f"to go on {place} then: {again}") if text)
        raise ResourceError([*others, replace(last, help=help)]) from error
    except InterruptedRunError as error:
        kept, again = store.folders(), command(folder.path)
        raise InterruptedRunError(
            error.faults[0].what,
            where=str(folder.path),
            found=f"the newest checkpoint is {kept[0].name}" if kept else "no checkpoint yet",
            help=f"to go on{'' if kept else ' (from the first step)'}: {again}",
            exit_code=error.exit_code,
        ) from None


@contextlib.contextmanager
def first_step_faults(start: Path | None, control: Control) -> Iterator[None]:
    """Blame the checkpoint for a first step that fails: an optimizer finds missing what its state should hold.

    Args:
        start: the checkpoint that the run goes on from, if any.
        control: of the run.

    Raises:
        CheckpointError: the first step failed so.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        # After its first step a run does not raise interruptions where they come any more.
        if start is None or not control.immediate:
            raise
        raise CheckpointError(
            "the first step from this checkpoint fails",
            where=str(start),
            found=first_line(error),
            expected="the state that this run saved",
            help="name an earlier one (--resume PATH), or begin anew (--resume none); --debug shows the whole traceback",
        ) from error
