"""The step boundary: the one function that is called after each update.

It counts, checks that the loss is finite, and hands finished steps on in groups. What a step costs here is a list append
and, on the CPU, one read of a number; the accuracy of a group of steps is computed in one go, and on an
accelerator the losses are read back in one transfer a group.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.errors import NonFiniteError
from trainloop.loop.events import Event, StepRecord, StepsDone
from trainloop.loop.step import StepResult

MAX_PENDING_STEPS = 1_000
MAX_PENDING_SECONDS = 0.25


@dataclass(slots=True)
class _Pending:
    step: int
    epoch: int
    lr: float
    result: StepResult
    labels: Tensor
    seconds: float


class StepBoundary:
    """Count steps, check them, and report them in groups.

    Args:
        emit: takes the events.
        device: of the run; on the CPU every loss is checked at once, elsewhere once a group.
    """

    def __init__(self, emit: Callable[[Event], None], device: torch.device) -> None:
        self._emit = emit
        self._check_every_step = device.type == "cpu"
        self._pending: list[_Pending] = []
        self._start = self._last_flush = time.perf_counter()
        self.step = 0
        self.epoch_loss_sum = 0.0
        self.epoch_correct = 0
        self.epoch_samples = 0

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

        Raises:
            NonFiniteError: the loss is NaN or infinite.
        """
        self.step += 1
        now = time.perf_counter()
        self._pending.append(_Pending(self.step, epoch, lr, result, labels, now - self._start))
        if self._check_every_step and not math.isfinite(result.loss.item()):
            self.flush()
        if len(self._pending) >= MAX_PENDING_STEPS or now - self._last_flush >= MAX_PENDING_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand the finished steps on; raise for the first one whose loss is not finite."""
        pending, self._pending = self._pending, []
        self._last_flush = time.perf_counter()
        if not pending:
            return
        losses: list[float] = torch.stack([entry.result.loss for entry in pending]).tolist()
        records = tuple(
            StepRecord(entry.step, entry.epoch, entry.lr, loss, correct, entry.labels.shape[0], entry.seconds)
            for entry, loss, correct in zip(pending, losses, correct_counts(pending), strict=True)
        )
        finite = [record for record in records if math.isfinite(record.loss)]
        for record in finite:
            self.epoch_loss_sum += record.loss * record.samples
            self.epoch_correct += record.correct
            self.epoch_samples += record.samples
        good = next((i for i, record in enumerate(records) if not math.isfinite(record.loss)), len(records))
        if good:
            self._emit(StepsDone(records[:good]))
        if good < len(records):
            raise non_finite(records[good])


def correct_counts(pending: list[_Pending]) -> list[int]:
    """Return how many images each step classified correctly; one pass over all of them."""
    predictions = torch.cat([entry.result.logits for entry in pending]).argmax(dim=1)
    right = predictions == torch.cat([entry.labels for entry in pending])
    running = right.cumsum(0)
    ends = torch.tensor([entry.labels.shape[0] for entry in pending], device=running.device).cumsum(0) - 1
    totals: list[int] = running[ends].tolist()
    return [total - before for before, total in itertools.pairwise([0, *totals])]


def non_finite(record: StepRecord) -> NonFiniteError:
    """Return the error for a step whose loss is NaN or infinite."""
    return NonFiniteError(
        "the loss is not finite any more, so training stopped",
        where=f"step {record.step}, epoch {record.epoch}, stage loss",
        found=f"loss {record.loss} at lr {record.lr:g}",
        expected="a finite number",
        help="no weights of this run are saved; try a smaller optimizer.lr, a warm-up (schedule.warmup_epochs) "
        "or train.clip_grad_norm",
    )
