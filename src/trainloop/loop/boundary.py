"""The step boundary: the one function that is called after each update.

It counts, and hands finished steps on in groups. What a step costs here is a list append and, on the CPU, one read of a
number; the accuracy of some steps is computed in one go, and on an accelerator their losses are read back in one transfer.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainloop.loop.events import Event, StepRecord, StepsDone
from trainloop.loop.progress import Progress
from trainloop.loop.step import StepResult

EMIT_SECONDS = 1.0
"""between two groups that are handed on"""
HELD_STEPS = {"cpu": 128}
"""steps whose logits are kept until their accuracy is computed in one go; on the CPU not so many that they fill its cache"""
HELD_STEPS_ELSEWHERE = 512
"""many, for each look at a device's numbers makes the host wait"""


# step, epoch, lr, loss, logits, labels, seconds: a plain tuple, for one is made in every step.
_Held = tuple[int, int, float, float | Tensor, Tensor, Tensor, float]


class StepBoundary:
    """Count steps and report them in groups.

    Args:
        emit: takes the events.
        device: of the run; on the CPU every loss is read at once, elsewhere once a group.
        start: where the run goes on from.
    """

    def __init__(self, emit: Callable[[Event], None], device: torch.device, start: Progress | None = None) -> None:
        start = start or Progress()
        self._emit = emit
        self._read_every_loss = device.type == "cpu"
        self._max_held = HELD_STEPS.get(device.type, HELD_STEPS_ELSEWHERE)
        self._held: list[_Held] = []
        self._records: list[StepRecord] = []
        self._start = time.perf_counter() - start.seconds
        self._next_emit = start.seconds + EMIT_SECONDS
        self.step = start.step
        self.last_seconds = start.seconds
        self.epoch_loss_sum = start.epoch_loss_sum
        self.epoch_correct = start.epoch_correct
        self.epoch_samples = start.epoch_samples

    @property
    def seconds(self) -> float:
        """Return the time since training began."""
        return time.perf_counter() - self._start

    def start_epoch(self) -> None:
        """Forget the sums of the last epoch."""
        self.epoch_loss_sum, self.epoch_correct, self.epoch_samples = 0.0, 0, 0

    def __call__(self, epoch: int, lr: float, result: StepResult, labels: Tensor) -> None:
        """Close one update.

        Args:
            epoch: from 1.
            lr: of this update.
            result: loss and logits of the batch.
            labels: of the batch, shape (N,).
        """
        self.step += 1
        self.last_seconds = seconds = time.perf_counter() - self._start
        loss = result.loss.item() if self._read_every_loss else result.loss
        self._held.append((self.step, epoch, lr, loss, result.logits, labels, seconds))
        if seconds >= self._next_emit:
            self.flush()
        elif len(self._held) >= self._max_held:
            self._read()

    def skip(self) -> None:
        """Close a step that made no update: it is counted, for the schedule goes on, and no sum knows of it."""
        self.step += 1
        self.last_seconds = self.seconds
        self.flush()

    def flush(self) -> None:
        """Hand the finished steps on."""
        self._read()
        self._next_emit = self.seconds + EMIT_SECONDS
        records, self._records = self._records, []
        for record in records:
            self.epoch_loss_sum += record.loss * record.samples
            self.epoch_correct += record.correct
            self.epoch_samples += record.samples
        if records:
            self._emit(StepsDone(tuple(records)))

    def _read(self) -> None:
        """Turn the steps held as tensors into records, and let go of the tensors."""
        held, self._held = self._held, []
        if not held:
            return
        steps, epochs, lrs, losses, logits, labels, seconds = zip(*held, strict=True)
        sizes = [label.shape[0] for label in labels]
        correct = correct_counts(logits, labels, sizes)
        columns = (steps, epochs, lrs, read_losses(losses), correct, sizes, seconds)
        self._records += map(StepRecord, *columns)


def read_losses(losses: Sequence[float | Tensor]) -> list[float]:
    """Return the losses as numbers; those on a device come in one transfer."""
    on_device = [loss for loss in losses if isinstance(loss, Tensor)]
    read = iter(torch.stack(on_device).tolist() if on_device else ())
    return [next(read) if isinstance(loss, Tensor) else loss for loss in losses]


def correct_counts(logits: Sequence[Tensor], labels: Sequence[Tensor], sizes: Sequence[int]) -> list[int]:
    """Return how many images each step classified correctly; one pass over all of them.

    Args:
        logits: of each step, shape (N, num_classes).
        labels: of each step, shape (N,).
        sizes: N of each step.
    """
    running = (torch.cat(tuple(logits)).argmax(dim=1) == torch.cat(tuple(labels))).cumsum(0)
    ends = torch.tensor(list(itertools.accumulate(sizes)), device=running.device) - 1
    totals: list[int] = running[ends].tolist()
    return [total - before for before, total in itertools.pairwise([0, *totals])]
