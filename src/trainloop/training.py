"""Train: what ``trainloop train`` does, as a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from trainloop.build import build_training, num_epochs
from trainloop.config import dump_yaml, load_config
from trainloop.config.schema import RunConfig
from trainloop.data.dataset import Dataset
from trainloop.device import choose_device, device_name, environment, peak_memory_mib, set_knobs
from trainloop.errors import InterruptedRunError, ModelError, ResourceError
from trainloop.files import AppendFile, require_space
from trainloop.loop.events import Broadcast, RunFinished, RunStarted, Sink
from trainloop.loop.trainer import Outcome, Training, run_training
from trainloop.models import parameter_count
from trainloop.report.curves import History, curves_png
from trainloop.report.format import count, percent
from trainloop.report.json_lines import MetricsFile
from trainloop.report.run_folder import RunFolder, open_run_folder
from trainloop.report.summary import Summary
from trainloop.report.weights import weights_bytes, weights_sha256
from trainloop.stages import refuse_without_effect, stage_modes
from trainloop.stages.context import USUAL_CONV

SPACE_BESIDE_WEIGHTS = 1_000_000
"""bytes for the curves, the summary and a metrics file of some thousand steps"""


def train(
    config: RunConfig | str | Path,
    *,
    run_dir: str | Path | None = None,
    name: str | None = None,
    plugins: Sequence[str | Path] = (),
    sinks: Sequence[Sink] = (),
    announce: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Train a model, use the test set once, and write the run folder.

    Sets the threads, seeds and determinism of this process as the config says.

    Args:
        config: a validated config, or the path of a YAML file.
        run_dir: folder of the run; None makes ``runs/<name>-<date>-<time>``.
        name: start of that automatic name; None takes the config file's name, or "run".
        plugins: Python files that ``model.name`` may name a class of.
        sinks: where the run's events go, besides the run folder.
        announce: told in one line what takes time before the training begins.

    Returns:
        The summary, which is also in the run folder as ``summary.json``.

    Raises:
        TrainloopError: whatever went wrong; the run folder then has no ``summary.json``.
    """
    resolved = config if isinstance(config, RunConfig) else load_config(Path(config)).config
    stem = name or ("run" if isinstance(config, RunConfig) else Path(config).stem)
    refuse_without_effect(resolved)
    set_knobs(resolved)
    with (
        torch_faults(resolved),
        open_run_folder(Path(run_dir) if run_dir else None, f"{stem}-{resolved.mode}") as folder,
    ):
        training, dataset = build_training(resolved, announce, [Path(plugin) for plugin in plugins])
        return train_in_folder(resolved, training, dataset, folder, sinks)


def train_in_folder(
    config: RunConfig, training: Training, dataset: Dataset, folder: RunFolder, sinks: Sequence[Sink]
) -> Summary:
    """Run a training that is built, in a folder that is held."""
    require_space(
        folder.path,
        len(weights_bytes(training.model)) + SPACE_BESIDE_WEIGHTS,
        what="no space left for the results",
        help="free some space, or choose another --run-dir",
    )
    folder.write_config(dump_yaml(config))
    folder.write_environment({**environment(config, training.device), "data": data_facts(dataset)})
    history = History()
    metrics = MetricsFile(AppendFile(folder.metrics_path, fresh=True), every=config.log.every)
    emit = Broadcast([metrics, history, *sinks])
    with contextlib.closing(emit), interruption_says(folder):
        emit(
            RunStarted(
                facts=header(config, training, dataset, folder),
                total_steps=training.span.total_steps,
                epochs=num_epochs(training.span),
                steps_per_epoch=training.span.steps_per_epoch,
            )
        )
        outcome = run_training(training, emit)
        summary = summarise(config, training, dataset, outcome)
        folder.write_weights(weights_bytes(training.model))
        title = f"{config.model.name} on {dataset.name}, {config.mode}: test {percent(summary.test_accuracy)}"
        folder.write_curves(curves_png(history, title))
        folder.write_summary(summary.as_dict())
        emit(RunFinished(summary, str(folder.path)))
    return summary


def header(config: RunConfig, training: Training, dataset: Dataset, folder: RunFolder) -> Mapping[str, str]:
    """Return the facts that a run opens with, by name."""
    val = f" · {count(training.val.samples)} validation" if training.val else ""
    train_images = len(dataset.train) - (training.val.samples if training.val else 0)
    chosen = stage_modes(config)
    return {
        "model": f"{config.model.name} · {count(parameter_count(training.model))} parameters",
        "data": f"{dataset.name} · {count(train_images)} train{val} · {count(len(dataset.test))} test images · "
        f"{len(dataset.classes)} classes · {dataset.source}",
        "optimizer": f"{config.optimizer.name} · lr {config.optimizer.lr:g} {config.schedule.name} · "
        f"batch {config.train.batch_size} · {count(training.span.total_steps)} steps",
        "device": f"{training.device} · {device_name(training.device)} · {torch.get_num_threads()} threads · "
        f"{config.train.precision}",
        "stages": " · ".join(f"{stage} {kind}" for stage, kind in chosen.items())
        + (f" · conv {config.stages.conv}" if config.stages.conv != USUAL_CONV else ""),
        "determinism": f"{config.deterministic} · seed {config.seed}",
        "run folder": str(folder.path),
    }


def summarise(config: RunConfig, training: Training, dataset: Dataset, outcome: Outcome) -> Summary:
    """Put the results of a run together."""
    return Summary(
        mode=config.mode,
        stages=stage_modes(config),
        device=str(training.device),
        threads=torch.get_num_threads(),
        seed=config.seed,
        model=config.model.name,
        parameters=parameter_count(training.model),
        dataset=dataset.name,
        data_digest=dataset.digest,
        steps=outcome.steps,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        train_seconds=outcome.train_seconds,
        images_per_second=outcome.samples / outcome.train_seconds,
        final_train_loss=outcome.final_train_loss,
        final_train_accuracy=outcome.final_train_accuracy,
        val_accuracy=outcome.val.accuracy if outcome.val else None,
        test_loss=outcome.test.loss,
        test_accuracy=outcome.test.accuracy,
        convolutions=training.convolutions(),
        stages_ms=training.clock.stages_ms(),
        timing_method=training.clock.method,
        peak_memory_mib=peak_memory_mib(training.device),
        weights_sha256=weights_sha256(training.model),
    )


def data_facts(dataset: Dataset) -> dict[str, object]:
    """Return what identifies a data set."""
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "source": dataset.source,
        "classes": list(dataset.classes),
        "image_shape": list(dataset.train.images.shape[1:]),
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }


@contextlib.contextmanager
def interruption_says(folder: RunFolder) -> Iterator[None]:
    """Add to an interruption what is kept of the run, and how to go on."""
    try:
        yield
    except InterruptedRunError as error:
        raise InterruptedRunError(
            error.faults[0].what,
            where=str(folder.path),
            found=f"{folder.metrics_path.name} holds the steps so far; no weights are saved",
            help="to begin again from the first step, give the command with another --run-dir, or without one",
            exit_code=error.exit_code,
        ) from None


@contextlib.contextmanager
def torch_faults(config: RunConfig) -> Iterator[None]:
    """Turn what torch says when memory runs out, or a batch is too small, into an error that says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
            raise out_of_memory(config, text) from error
        if "Expected more than 1 value per channel when training" in text:
            raise single_image_batch(config, text) from error
        raise


def out_of_memory(config: RunConfig, text: str) -> ResourceError:
    """Return the error for a batch that does not fit."""
    return ResourceError(
        "out of memory",
        where=str(choose_device(config.device)),
        found=f"batch size {config.train.batch_size}: {text or 'no further words'}",
        help=f"use a smaller batch (--set train.batch_size={max(1, config.train.batch_size // 2)}), or keep it and "
        "split it (--set train.accumulation_steps=2)",
    )


def single_image_batch(config: RunConfig, text: str) -> ModelError:
    """Return the error for a batch of one image in front of a batch norm that sees one value a channel."""
    return ModelError(
        "a batch, or a part of one, has a single image, and this model's batch norm needs two",
        where="train.batch_size",
        found=f"batch size {config.train.batch_size} in {config.train.accumulation_steps} part(s): {text}",
        expected="a batch size that leaves no single image at the end of an epoch",
        help=f"try --set train.batch_size={config.train.batch_size + 1}",
    )
