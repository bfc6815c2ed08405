"""What a finished run amounts to: the content of ``summary.json``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    Args:
        mode: as in the config.
        stages: implementation of each stage by name.
        device: that the run used.
        threads: CPU threads of one operation.
        seed: of the run.
        model: name of the model.
        parameters: number of parameters.
        dataset: name of the data set.
        data_digest: SHA-256 that identifies its content.
        steps: of the training.
        skipped_steps: those of them without an update, for something was not finite.
        epochs: epochs begun.
        seconds: from the first batch to the end of the test.
        train_seconds: in training steps alone.
        images_per_second: trained images / train_seconds.
        final_train_loss: mean over the last epoch, with label smoothing if the config has it.
        final_train_accuracy: mean over the last epoch, each image before its own update, augmented.
        val_accuracy: on the images set aside, after the last epoch; None without any.
        test_loss: mean cross entropy, without label smoothing.
        test_accuracy: in [0, 1].
        convolutions: sizes of a convolution → direction → the algorithm that did it, where ``stages.conv`` chose; else empty.
        stages_ms: median time of each stage in ms, over the sampled steps.
        timing_method: how stages_ms was taken.
        peak_memory_mib: largest memory held.
        resumed: places where the run was taken up again: the step, and what differed, if its bits may differ for it.
        weights_sha256: over name, dtype, shape and bytes of every parameter and buffer.
    """

    mode: str
    stages: dict[str, str]
    device: str
    threads: int
    seed: int
    model: str
    parameters: int
    dataset: str
    data_digest: str
    steps: int
    skipped_steps: int
    epochs: int
    seconds: float
    train_seconds: float
    images_per_second: float
    final_train_loss: float
    final_train_accuracy: float
    val_accuracy: float | None
    test_loss: float
    test_accuracy: float
    convolutions: dict[str, dict[str, str]]
    stages_ms: dict[str, float]
    timing_method: str
    peak_memory_mib: float
    resumed: list[dict[str, Any]]
    weights_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, led by the version of their meaning."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
