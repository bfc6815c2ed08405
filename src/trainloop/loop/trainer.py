"""Run the epochs: batches in, steps, the boundary after each, an evaluation at the end of each epoch and one of the test."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from trainloop.data.pipeline import Batch
from trainloop.loop.boundary import StepBoundary
from trainloop.loop.ema import WeightAverage
from trainloop.loop.evaluate import Evaluation, evaluate
from trainloop.loop.events import EpochDone, EvaluationStarted, Event, TestDone
from trainloop.loop.schedule import Span
from trainloop.loop.step import train_step
from trainloop.loop.timing import StageClock
from trainloop.stages import Stages

NEW_OBJECTS_A_COLLECTION = 10_000

EvalBatches = Callable[[], Iterator[Batch]]


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
        epoch_batches: epoch (from 0) → its batches.
        parts: pieces that a batch is split into.
        val: images set aside, or None.
        test: the test images.
        num_classes: number of classes.
        average: running mean of the weights, or None.
        device: of the model.
        clock: times a sample of the steps.
        convolutions: tells which algorithm did each convolution so far, where ``stages.conv`` chose.
    """

    model: nn.Module
    stages: Stages
    lr: Callable[[int], float]
    span: Span
    epoch_batches: Callable[[int], Iterator[Batch]]
    parts: int
    val: EvalSet | None
    test: EvalSet
    num_classes: int
    average: WeightAverage | None
    device: torch.device
    clock: StageClock
    convolutions: Callable[[], dict[str, dict[str, str]]] = dict


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        steps: updates made.
        epochs: epochs begun.
        samples: images trained on.
        train_seconds: time in training steps, evaluation left out.
        seconds: from the first batch to the end of the test.
        final_train_loss: mean over the last epoch.
        final_train_accuracy: likewise.
        val: last evaluation of the images set aside, or None.
        test: evaluation of the test set.
    """

    steps: int
    epochs: int
    samples: int
    train_seconds: float
    seconds: float
    final_train_loss: float
    final_train_accuracy: float
    val: Evaluation | None
    test: Evaluation


def run_training(training: Training, emit: Callable[[Event], None]) -> Outcome:
    """Train to the last step, then use the test set once.

    Args:
        training: what to run; its model holds the final weights (the averaged ones, if there are any) at the end.
        emit: takes the events.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
    """
    boundary = StepBoundary(emit, training.device)
    train_seconds, samples, epoch, val = 0.0, 0, 0, None
    with contextlib.ExitStack() as stack:
        stack.enter_context(frozen_heap())
        # Finished steps reach the log whatever ends the run.
        stack.callback(boundary.flush)
        while boundary.step < training.span.total_steps:
            epoch += 1
            began = time.perf_counter()
            run_epoch(training, boundary, epoch)
            elapsed = time.perf_counter() - began
            train_seconds += elapsed
            samples += boundary.epoch_samples
            val = evaluate_set(training, training.val, emit) if training.val else None
            emit(_epoch_done(training, boundary, epoch, elapsed, val))
    if training.average:
        training.average.replace_weights()
    test = evaluate_set(training, training.test, emit)
    emit(TestDone(test.loss, test.accuracy, test.samples, boundary.seconds))
    return Outcome(
        steps=boundary.step,
        epochs=epoch,
        samples=samples,
        train_seconds=train_seconds,
        seconds=boundary.seconds,
        final_train_loss=boundary.epoch_loss_sum / boundary.epoch_samples,
        final_train_accuracy=boundary.epoch_correct / boundary.epoch_samples,
        val=val,
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


def run_epoch(training: Training, boundary: StepBoundary, epoch: int) -> None:
    """Do the steps of one epoch (from 1), or as many as the run has left; all of them are reported at the end."""
    training.model.train()
    boundary.start_epoch()
    # Names of this function's own: on the path of every step a look into an object costs time.
    stages, parts, average, lr_of = training.stages, training.parts, training.average, training.lr
    total_steps, timer_of = training.span.total_steps, training.clock.timer
    batches = training.epoch_batches(epoch - 1)
    while boundary.step < total_steps:
        timer = timer_of(boundary.step)
        take, timed = (
            (next_batch, stages) if timer is None else (timer.wrap("data", next_batch), timer.wrap_all(stages))
        )
        batch = take(batches)
        if batch is None:
            break
        lr = lr_of(boundary.step)
        result = train_step(timed, batch, parts, lr)
        if average:
            average.update()
        boundary(epoch, lr, result, batch.y)
    boundary.flush()


def next_batch(batches: Iterator[Batch]) -> Batch | None:
    """Return the next batch of an epoch, or None at its end."""
    return next(batches, None)


def evaluate_set(training: Training, images: EvalSet, emit: Callable[[Event], None]) -> Evaluation:
    """Evaluate the weights, or their running mean where there is one."""
    emit(EvaluationStarted(images.split, images.samples))
    averaged = training.average.in_place_of_weights() if training.average else contextlib.nullcontext()
    with averaged:
        return evaluate(training.model, images.batches(), training.num_classes)


def _epoch_done(
    training: Training, boundary: StepBoundary, epoch: int, elapsed: float, val: Evaluation | None
) -> EpochDone:
    return EpochDone(
        epoch=epoch,
        step=boundary.step,
        lr=training.lr(boundary.step - 1),
        train_loss=boundary.epoch_loss_sum / boundary.epoch_samples,
        train_accuracy=boundary.epoch_correct / boundary.epoch_samples,
        val_loss=val.loss if val else None,
        val_accuracy=val.accuracy if val else None,
        images_per_second=boundary.epoch_samples / elapsed,
        seconds=boundary.seconds,
    )
