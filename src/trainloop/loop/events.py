"""What a run tells: typed events, sent to sinks that print them, write them down or draw them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

TIME_FIELDS = frozenset({"seconds", "images_per_second"})
"""fields of events that two runs with the same bits do not share"""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One update.

    Args:
        step: number of updates so far, from 1.
        epoch: from 1.
        lr: step size of this update (of groups with lr_scale 1).
        loss: mean over the batch.
        correct: images of the batch classified correctly, before the update.
        samples: images in the batch.
        seconds: since training began, evaluations included.
    """

    step: int
    epoch: int
    lr: float
    loss: float
    correct: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class RunStarted:
    """Everything is built; training begins."""

    kind: ClassVar[str] = "start"
    facts: Mapping[str, str]
    total_steps: int
    epochs: int
    steps_per_epoch: int


@dataclass(frozen=True)
class StepsDone:
    """Some updates were made since the last such event."""

    kind: ClassVar[str] = "step"
    records: tuple[StepRecord, ...]


@dataclass(frozen=True)
class StepNotFinite:
    """A step that met a NaN or an infinity, and made no update.

    Args:
        step, epoch, lr: as of a :class:`StepRecord`.
        stage, tensor, found: see :class:`~trainloop.loop.finite.NotFinite`.
        images: those it is about, by their positions among the training images.
        skipped: the run goes on; otherwise it ends here.
    """

    kind: ClassVar[str] = "nonfinite"
    step: int
    epoch: int
    lr: float
    stage: str
    tensor: str
    found: str
    images: tuple[int, ...]
    skipped: bool


@dataclass(frozen=True)
class EpochDone:
    """An epoch ended (or the run did, in the middle of one).

    Args:
        epoch: from 1.
        step: updates so far.
        lr: of the last update.
        train_loss, train_accuracy: means over the epoch's images, each as it was before its own update.
        val_loss, val_accuracy: on the images set aside; None without any.
        images_per_second: trained images by training time, evaluation left out.
        seconds: since training began.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    step: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class EvaluationStarted:
    """A set is about to be evaluated."""

    kind: ClassVar[str] = "evaluating"
    split: str
    samples: int


@dataclass(frozen=True)
class TestDone:
    """The test set was used, once."""

    kind: ClassVar[str] = "test"
    __test__: ClassVar[bool] = False
    test_loss: float
    test_accuracy: float
    samples: int
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is on the disk, read back and verified.

    Args:
        step: that it stands at.
        path: its folder.
        bytes: written.
        milliseconds: that training waited.
        asked: whether a signal asked for it.
    """

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str
    bytes: int
    milliseconds: float
    asked: bool


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, though the run goes on."""

    kind: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True)
class RunFinished:
    """The run ended and its files are written."""

    kind: ClassVar[str] = "end"
    summary: Any
    run_dir: str


Event = (
    RunStarted
    | StepsDone
    | StepNotFinite
    | EpochDone
    | EvaluationStarted
    | TestDone
    | CheckpointSaved
    | Notice
    | RunFinished
)


class Sink(Protocol):
    """Something that events are sent to."""

    def handle(self, event: Event) -> None:
        """Take note of one event."""

    def close(self) -> None:
        """Release what is held; called once, however the run ends."""


class Broadcast:
    """Send each event to several sinks, in order."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.sinks = tuple(sinks)

    def __call__(self, event: Event) -> None:
        """Send one event."""
        for sink in self.sinks:
            sink.handle(event)

    def close(self) -> None:
        """Close every sink, those after one that fails too."""
        with contextlib.ExitStack() as stack:
            for sink in reversed(self.sinks):
                stack.callback(sink.close)
