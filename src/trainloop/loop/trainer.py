"""Run the epochs: batches in, steps, the boundary after each, an evaluation at the end of each epoch and one of the test."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trainloop.data.pipeline import Batch
from trainloop.errors import InterruptedRunError
from trainloop.loop.boundary import StepBoundary
from trainloop.loop.ema import WeightAverage
from trainloop.loop.evaluate import Evaluation, evaluate
from trainloop.loop.events import EpochDone, EvaluationStarted, Event, StepNotFinite, TestDone
from trainloop.loop.finite import FiniteCheck, epoch_without_update, not_finite_error
from trainloop.loop.keeper import Keeper, NothingKept
from trainloop.loop.progress import Progress
from trainloop.loop.schedule import Span
from trainloop.loop.step import StepResult, train_step
from trainloop.loop.timing import StageClock
from trainloop.stages import Stages

NEW_OBJECTS_A_COLLECTION = 10_000

EvalBatches = Callable[[], Iterator[Batch]]


class EpochBatches(Protocol):
    """Batches of an epoch: the same whenever the same epoch is asked for."""

    def __call__(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch (from 0), after passing over some."""


@dataclass(frozen=True)
class EvalSet:
    """Images to judge by.

    Args:
        split: "val" or "test".
        samples: how many.
        batches: makes a new pass over them.
    """

    split: str
    samples: int
    batches: EvalBatches


@dataclass(frozen=True)
class Training:
    """Everything a run needs, built and ready.

    Args:
        model: on its device.
        stages: the six stages.
        lr: step (from 0) → lr.
        span: length of the run.
        epoch_batches: makes the batches of an epoch.
        parts: pieces that a batch is split into.
        val: images set aside, or None.
        test: the test images.
        num_classes: number of classes.
        average: running mean of the weights, or None.
        device: of the model.
        clock: times a sample of the steps.
        optimizers: torch's or ours, one for each share of the parameters.
        scaler: of fp16 training, or None.
        skip_nonfinite: leave out the update of a step that meets a NaN or an infinity, instead of ending the run.
        convolutions: tells which algorithm did each convolution so far, where ``stages.conv`` chose.
    """

    model: nn.Module
    stages: Stages
    lr: Callable[[int], float]
    span: Span
    epoch_batches: EpochBatches
    parts: int
    val: EvalSet | None
    test: EvalSet
    num_classes: int
    average: WeightAverage | None
    device: torch.device
    clock: StageClock
    optimizers: Sequence[Any] = ()
    scaler: GradScaler | None = None
    skip_nonfinite: bool = False
    convolutions: Callable[[], dict[str, dict[str, str]]] = dict


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        steps: steps made.
        skipped_steps: those of them without an update, for something was not finite.
        epochs: epochs begun.
        samples: images trained on.
        train_seconds: time in training steps, evaluation left out.
        seconds: from the first batch to the end of the test.
        final_train_loss: mean over the last epoch.
        final_train_accuracy: likewise.
        val_accuracy: of the last evaluation of the images set aside, or None.
        test: evaluation of the test set.
    """

    steps: int
    skipped_steps: int
    epochs: int
    samples: int
    train_seconds: float
    seconds: float
    final_train_loss: float
    final_train_accuracy: float
    val_accuracy: float | None
    test: Evaluation


def run_training(
    training: Training,
    emit: Callable[[Event], None],
    keeper: Keeper | None = None,
    start: Progress | None = None,
) -> Outcome:
    """Train to the last step, then use the test set once.

    Args:
        training: what to run; its model holds the final weights (the averaged ones, if there are any) at the end.
        emit: takes the events.
        keeper: keeps checkpoints and listens for interruptions; None keeps nothing.
        start: where the run goes on from; model, optimizers and random streams have been brought there.

    Raises:
        NonFiniteError: a step met a NaN or an infinity, and the run is to end for it, or has left out too many updates.
        InterruptedRunError: the keeper was asked to end the run.
    """
    return TrainingLoop(training, emit, keeper or NothingKept(), start or Progress()).run()


class TrainingLoop:
    """The epochs of one run.

    Args:
        training, emit, keeper, start: see :func:`run_training`.
    """

    def __init__(self, training: Training, emit: Callable[[Event], None], keeper: Keeper, start: Progress) -> None:
        self.training = training
        self.boundary = StepBoundary(emit, training.device, start)
        self._emit = emit
        self._keeper = keeper
        self._closed = start
        self._epoch = start.epoch
        self._epoch_step = start.epoch_step
        self._is_closed = start.epoch_closed
        self._epoch_began = time.perf_counter() - start.epoch_seconds
        self._epoch_seconds = start.epoch_seconds
        self._skipped_steps = start.skipped_steps
        self._check = FiniteCheck(
            training.model,
            training.stages.forward,
            scaled=training.scaler is not None,
            skipping=training.skip_nonfinite,
            skipped_in_a_row=start.skipped_in_a_row,
        )

    def run(self) -> Outcome:
        """Train, and use the test set once."""
        training, boundary = self.training, self.boundary
        with contextlib.ExitStack() as stack:
            stack.enter_context(frozen_heap())
            # Finished steps reach the log whatever ends the run.
            stack.callback(boundary.flush)
            while not (self._is_closed and boundary.step >= training.span.total_steps):
                self.open_epoch()
                self.run_epoch()
                self._close_epoch()
        self._keeper.at_end(self.progress())
        if training.average:
            training.average.replace_weights()
        test = self._evaluate(training.test)
        self._emit(TestDone(test.loss, test.accuracy, test.samples, boundary.seconds))
        return self._outcome(test)

    def progress(self) -> Progress:
        """Return how far the run is; every finished step has been handed on before."""
        self.boundary.flush()
        boundary = self.boundary
        return dataclasses.replace(
            self._closed,
            step=boundary.step,
            epoch=self._epoch,
            epoch_step=self._epoch_step,
            epoch_closed=self._is_closed,
            epoch_loss_sum=boundary.epoch_loss_sum,
            epoch_correct=boundary.epoch_correct,
            epoch_samples=boundary.epoch_samples,
            epoch_seconds=0.0 if self._is_closed else time.perf_counter() - self._epoch_began,
            seconds=boundary.seconds,
            skipped_steps=self._skipped_steps,
            skipped_in_a_row=self._check.skipped_in_a_row,
        )

    def open_epoch(self) -> None:
        """Begin the next epoch, unless one is open that the run was stopped in."""
        if self._is_closed:
            self._epoch += 1
            self._epoch_step = 0
            self._is_closed = False
            self._epoch_began = time.perf_counter()
            self.boundary.start_epoch()

    def run_epoch(self) -> None:
        """Do the steps that an epoch has left, or those that the run has; all of them are reported at the end."""
        training, boundary, keeper, epoch = self.training, self.boundary, self._keeper, self._epoch
        training.model.train()
        # Names of this function's own: on the path of every step a look into an object costs time.
        stages, parts, average, lr_of = training.stages, training.parts, training.average, training.lr
        total_steps, timer_of, due, check = training.span.total_steps, training.clock.timer, keeper.due, self._check
        batches = training.epoch_batches(epoch - 1, self._epoch_step)
        while boundary.step < total_steps:
            timer = timer_of(boundary.step)
            take, may_update, timed = (
                (next_batch, check, stages)
                if timer is None
                else (timer.wrap("data", next_batch), timer.wrap("check", check), timer.wrap_all(stages))
            )
            batch = take(batches)
            if batch is None:
                break
            lr = lr_of(boundary.step)
            result = train_step(timed, batch, parts, lr, may_update)
            if check.passed:
                if average:
                    average.update()
                boundary(epoch, lr, result, batch.y)
            else:
                self._without_update(batch, lr, result)
            self._epoch_step += 1
            if due(boundary.step, boundary.last_seconds):
                keeper.after_step(self.progress())
        boundary.flush()
        self._epoch_seconds = time.perf_counter() - self._epoch_began

    def _without_update(self, batch: Batch, lr: float, result: StepResult) -> None:
        """Say what was not finite in a step; end the run for it, or go on as if the step had not been.

        Raises:
            NonFiniteError: the run is to end for it, or too many updates in a row were left out.
        """
        training, check = self.training, self._check
        what = check.look(batch, result, training.parts)
        samples = batch.indices[list(what.rows)] if what.rows else batch.indices
        self.boundary.skip()
        event = StepNotFinite(
            step=self.boundary.step,
            epoch=self._epoch,
            lr=lr,
            stage=what.stage,
            tensor=what.tensor,
            found=what.found,
            images=tuple(samples.tolist()),
            skipped=training.skip_nonfinite and not check.exhausted and what.stage != "step",
        )
        self._emit(event)
        if not event.skipped:
            raise not_finite_error(event, in_a_row=check.skipped_in_a_row)
        self._skipped_steps += 1
        check.put_buffers_back()

    def _close_epoch(self) -> None:
        training, boundary = self.training, self.boundary
        if boundary.epoch_samples == 0:
            raise epoch_without_update(self._epoch)
        val = self._evaluate(training.val) if training.val else None
        self._emit(self._epoch_done(val))
        self._is_closed = True
        self._closed = dataclasses.replace(
            self._closed,
            samples=self._closed.samples + boundary.epoch_samples,
            train_seconds=self._closed.train_seconds + self._epoch_seconds,
            val_loss=val.loss if val else None,
            val_accuracy=val.accuracy if val else None,
        )
        self._keeper.after_epoch(self.progress())

    def _evaluate(self, images: EvalSet) -> Evaluation:
        """Evaluate the weights, or their running mean; for the test that mean has taken their place already."""
        training, is_test = self.training, images is self.training.test
        self._emit(EvaluationStarted(images.split, images.samples))
        before = self.progress()
        swap = training.average is not None and not is_test
        averaged = training.average.in_place_of_weights() if training.average and swap else contextlib.nullcontext()
        try:
            with averaged, self._keeper.at_once():
                return evaluate(training.model, images.batches(), training.num_classes)
        except InterruptedRunError:
            if not is_test:
                self._keeper.interrupted(before)
            raise

    def _epoch_done(self, val: Evaluation | None) -> EpochDone:
        boundary = self.boundary
        return EpochDone(
            epoch=self._epoch,
            step=boundary.step,
            lr=self.training.lr(boundary.step - 1),
            train_loss=boundary.epoch_loss_sum / boundary.epoch_samples,
            train_accuracy=boundary.epoch_correct / boundary.epoch_samples,
            val_loss=val.loss if val else None,
            val_accuracy=val.accuracy if val else None,
            images_per_second=boundary.epoch_samples / self._epoch_seconds,
            seconds=boundary.seconds,
        )

    def _outcome(self, test: Evaluation) -> Outcome:
        boundary, closed = self.boundary, self._closed
        return Outcome(
            steps=boundary.step,
            skipped_steps=self._skipped_steps,
            epochs=self._epoch,
            samples=closed.samples,
            train_seconds=closed.train_seconds,
            seconds=boundary.seconds,
            final_train_loss=boundary.epoch_loss_sum / boundary.epoch_samples,
            final_train_accuracy=boundary.epoch_correct / boundary.epoch_samples,
            val_accuracy=closed.val_accuracy,
            test=test,
        )


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Let the garbage collector pass over what exists already, and look at what is new less often.

    The libraries' own hundreds of thousands of objects live as long as the process. A full collection walks through all of
    them, for well over 100 ms, and the few objects that each step makes are enough to set one off every few thousand steps.
    """
    threshold, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(threshold, NEW_OBJECTS_A_COLLECTION), *others)
    try:
        yield
    finally:
        gc.set_threshold(threshold, *others)
        gc.unfreeze()


def next_batch(batches: Iterator[Batch]) -> Batch | None:
    """Return the next batch of an epoch, or None at its end."""
    return next(batches, None)
