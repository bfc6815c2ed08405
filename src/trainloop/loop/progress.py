"""How far a run is: all that the loop itself has to remember to go on from there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A place in a run, after a step or after the evaluation that closes an epoch.

    Order and augmentation of the images are functions of (seed, epoch, index) and the lr is one of the step, so neither has
    a state to remember.

    Args:
        step: steps made.
        epoch: epochs begun.
        epoch_step: steps made in the last of them.
        epoch_closed: whether that epoch has ended and been evaluated.
        epoch_loss_sum, epoch_correct, epoch_samples: sums over the images of that epoch.
        samples: images of the epochs closed.
        train_seconds: training time of the epochs closed.
        epoch_seconds: training time of an epoch that is not closed.
        seconds: since training began, time in which no process ran left out.
        skipped_steps: steps without an update, for something was not finite.
        skipped_in_a_row: how many of them are the last ones.
        val_loss, val_accuracy: of the last evaluation of the images set aside.
    """

    step: int = 0
    epoch: int = 0
    epoch_step: int = 0
    epoch_closed: bool = True
    epoch_loss_sum: float = 0.0
    epoch_correct: int = 0
    epoch_samples: int = 0
    samples: int = 0
    train_seconds: float = 0.0
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    val_loss: float | None = None
    val_accuracy: float | None = None
