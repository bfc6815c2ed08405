"""Train: what ``trainloop train`` does, as a function."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainloop import __version__
from trainloop.build import build_training, num_epochs
from trainloop.checkpoint.capture import Origin, capture, restore
from trainloop.checkpoint.keeper import CheckpointKeeper
from trainloop.checkpoint.layout import Best, Machine, Resumed, Saved
from trainloop.config import dump_yaml, load_config
from trainloop.config.interval import parse_interval
from trainloop.config.schema import RunConfig
from trainloop.data.dataset import Dataset
from trainloop.device import choose_device, device_name, environment, peak_memory_mib, set_knobs
from trainloop.doctor.gate import admit_device
from trainloop.errors import ModelError, ResourceError
from trainloop.files import AppendFile, require_space, write_bytes
from trainloop.interruption import Control, listening
from trainloop.loop.events import Broadcast, Event, RunFinished, RunStarted, Sink
from trainloop.loop.progress import Progress
from trainloop.loop.trainer import Outcome, Training, run_training
from trainloop.models import parameter_count
from trainloop.report.curves import curves_png
from trainloop.report.format import count, percent, threads
from trainloop.report.json_lines import MetricsFile
from trainloop.report.run_folder import RunFolder
from trainloop.report.summary import Summary
from trainloop.report.weights import weights_bytes, weights_sha256
from trainloop.resume import AUTO, Start, admit, find_start, history_before, open_run
from trainloop.stages import refuse_without_effect, stage_modes
from trainloop.stages.context import USUAL_CONV
from trainloop.training_faults import first_step_faults, how_to_go_on

SPACE_BESIDE_WEIGHTS = 1_000_000
"""bytes for the curves, the summary and a metrics file of some thousand steps"""


def in_python(folder: Path) -> str:
    """Return how to go on with a run from Python."""
    return f"train(…, run_dir={str(folder)!r})"


def train(
    config: RunConfig | str | Path,
    *,
    run_dir: str | Path | None = None,
    name: str | None = None,
    plugins: Sequence[str | Path] = (),
    sinks: Sequence[Sink] = (),
    announce: Callable[[str], None] = lambda _: None,
    resume: str = AUTO,
    allow_changed: bool = False,
    allow_failing_device: bool = False,
    command: Callable[[Path], str] = in_python,
) -> Summary:
    """Train a model, use the test set once, and write the run folder.

    Sets the threads, seeds and determinism of this process as the config says. While it trains, Ctrl-C, SIGTERM and SIGHUP save
    and end the run, SIGUSR1 saves; the same call goes on from the last checkpoint to the bits of a run without a break.

    Args:
        config: a validated config, or the path of a YAML file.
        run_dir: folder of the run; None makes ``runs/<name>-<date>-<time>``.
        name: start of that automatic name; None takes the config file's name, or "run".
        plugins: Python files that ``model.name`` may name a class of.
        sinks: where the run's events go, besides the run folder.
        announce: told in one line what takes time before the training begins.
        resume: ``auto`` goes on with an unfinished run of this config, in ``run_dir`` or of this name; ``none`` begins anew;
            else the path of a run folder, or of a checkpoint.
        allow_changed: go on from a checkpoint of a run that differs.
        allow_failing_device: train on a device that gets known answers wrong; it is announced, and stands in ``env.json``.
        command: run folder → how to go on with it, for the message of an interruption.

    Returns:
        The summary, which is also in the run folder as ``summary.json``.

    Raises:
        TrainloopError: whatever went wrong; the run folder then has no ``summary.json``.
    """
    resolved = config if isinstance(config, RunConfig) else load_config(Path(config)).config
    stem = name or ("run" if isinstance(config, RunConfig) else Path(config).stem)
    files, asked_dir = [Path(plugin) for plugin in plugins], Path(run_dir) if run_dir else None
    control = Control()
    refuse_without_effect(resolved)
    set_knobs(resolved)
    with torch_faults(resolved):
        device = choose_device(resolved.device)
        wrong_answers = admit_device(device, allow_failing=allow_failing_device, announce=announce)
    with (
        listening(control),
        torch_faults(resolved),
        open_run(resume, asked_dir, f"{stem}-{resolved.mode}", resolved, announce) as (folder, checkpoint),
    ):
        start = find_start(folder, checkpoint, resolved, announce)
        training, dataset = build_training(resolved, announce, files)
        origin = Origin(
            resolved.model_dump(mode="json"), machine(training.device), dataset.digest, plugin_digests(files)
        )
        if start.saved is not None:
            start = admit(start, origin, allow_changed=allow_changed)
        return train_in_folder(
            RunParts(resolved, training, dataset, start, origin, control, wrong_answers),
            sinks,
            announce,
            command=command,
        )


@dataclass(frozen=True)
class RunParts:
    """A run that is built, in a folder that is held.

    Args:
        config: of the run.
        training: its parts.
        dataset: its images.
        start: where it begins.
        origin: what a checkpoint says of it.
        control: what it is asked from outside.
        wrong_answers: which known answers its device gets wrong, a line each.
    """

    config: RunConfig
    training: Training
    dataset: Dataset
    start: Start
    origin: Origin
    control: Control
    wrong_answers: Sequence[str] = ()


def train_in_folder(
    run: RunParts, sinks: Sequence[Sink], announce: Callable[[str], None], *, command: Callable[[Path], str]
) -> Summary:
    """Run a training from where it begins to its end."""
    config, training, dataset, folder = run.config, run.training, run.dataset, run.start.folder
    require_space(
        folder.path,
        len(weights_bytes(training.model)) + SPACE_BESIDE_WEIGHTS,
        what="no space left for the results",
        help="free some space, or choose another --run-dir",
    )
    # What cannot be gone on with is refused before anything is changed.
    history = history_before(run.start)
    progress = take_up(run, announce)
    folder.write_config(dump_yaml(config))
    facts = {"wrong_answers": list(run.wrong_answers), "data": data_facts(dataset)}
    folder.write_environment({**environment(config, training.device), **facts})
    metrics = open_metrics(run.start, config.log.every)
    emit = Broadcast([metrics, history, *sinks])
    with how_to_go_on(folder, run.start.store, command), contextlib.closing(emit):
        emit(
            RunStarted(
                facts=header(config, training, dataset, folder),
                total_steps=training.span.total_steps,
                epochs=num_epochs(training.span),
                steps_per_epoch=training.span.steps_per_epoch,
            )
        )
        resumed = resumed_places(run.start)
        with first_step_faults(run.start.path, run.control):
            outcome = run_training(training, emit, make_keeper(run, metrics, emit, progress, resumed), progress)
        summary = summarise(config, training, dataset, outcome, run.start, resumed)
        folder.write_weights(weights_bytes(training.model))
        title = f"{config.model.name} on {dataset.name}, {config.mode}: test {percent(summary.test_accuracy)}"
        folder.write_curves(curves_png(history, title))
        folder.write_summary(summary.as_dict())
        emit(RunFinished(summary, str(folder.path)))
    return summary


def take_up(run: RunParts, announce: Callable[[str], None]) -> Progress:
    """Bring a run to where it begins, and remove what a process that died left behind."""
    start = run.start
    start.store.clean(after=start.path)
    if start.saved is None:
        return Progress()
    progress = restore(run.training, start.saved)
    announce(f"going on from step {count(progress.step)} of {count(run.training.span.total_steps)}: {start.path}")
    if start.not_exact_because:
        announce(f"not bit for bit the run without a break, because {'; '.join(start.not_exact_because)}")
    return progress


def open_metrics(start: Start, every: int) -> MetricsFile:
    """Open the metrics file behind the lines that belong to the checkpoint."""
    path = start.folder.metrics_path
    if start.path is not None and not (path.exists() and path.stat().st_size >= len(start.metrics)):
        # The run goes on in another folder than that of its checkpoint.
        write_bytes(path, start.metrics)
    return MetricsFile(AppendFile(path, fresh=start.path is None, keep=len(start.metrics)), every=every)


def resumed_places(start: Start) -> list[Resumed]:
    """Return where the run was taken up again, this time included."""
    if start.saved is None:
        return []
    facts = start.saved.facts
    now = Resumed(step=facts.position.step, not_exact_because=list(start.not_exact_because))
    return [*facts.resumed, now]


def make_keeper(
    run: RunParts, metrics: MetricsFile, emit: Callable[[Event], None], progress: Progress, resumed: Sequence[Resumed]
) -> CheckpointKeeper:
    """Return what keeps the checkpoints of a run."""
    facts = run.start.saved.facts if run.start.saved is not None else None

    def state(progress: Progress, best: Best | None) -> Saved:
        return capture(
            run.training,
            progress,
            run.origin,
            metrics_bytes=metrics.sync(),
            best=best,
            convolutions=facts.convolutions if facts else {},
            resumed=resumed,
        )

    settings = run.config.checkpoint
    return CheckpointKeeper(
        run.start.store,
        state,
        parse_interval(settings.every),
        run.control,
        emit,
        judge=settings.best,
        start=progress,
        best=facts.best if facts else None,
    )


def machine(device: torch.device) -> Machine:
    """Return what decides about bits besides the config."""
    return Machine(
        trainloop=__version__,
        torch=torch.__version__,
        device=str(device),
        device_name=device_name(device),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
    )


def plugin_digests(files: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file of the user's own, by its name; of several with one name, one after the other."""
    found: dict[str, str] = {}
    for file in files:
        found[file.name] = found.get(file.name, "") + hashlib.sha256(file.read_bytes()).hexdigest()
    return found


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
        "device": f"{training.device} · {device_name(training.device)} · {threads(torch.get_num_threads())} · "
        f"{config.train.precision}",
        "stages": " · ".join(f"{stage} {kind}" for stage, kind in chosen.items())
        + (f" · conv {config.stages.conv}" if config.stages.conv != USUAL_CONV else ""),
        "determinism": f"{config.deterministic} · seed {config.seed}",
        "run folder": str(folder.path),
    }


def summarise(
    config: RunConfig,
    training: Training,
    dataset: Dataset,
    outcome: Outcome,
    start: Start,
    resumed: Sequence[Resumed],
) -> Summary:
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
        skipped_steps=outcome.skipped_steps,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        train_seconds=outcome.train_seconds,
        images_per_second=outcome.samples / outcome.train_seconds,
        final_train_loss=outcome.final_train_loss,
        final_train_accuracy=outcome.final_train_accuracy,
        val_accuracy=outcome.val_accuracy,
        test_loss=outcome.test.loss,
        test_accuracy=outcome.test.accuracy,
        convolutions={**(start.saved.facts.convolutions if start.saved else {}), **training.convolutions()},
        stages_ms=training.clock.stages_ms(),
        timing_method=training.clock.method,
        peak_memory_mib=peak_memory_mib(training.device),
        resumed=[place.model_dump() for place in resumed],
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
