"""From a validated config to everything that a run needs: data, model, stages, schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.data.dataset import Dataset, ImageSet
from trainloop.data.load import load_dataset
from trainloop.data.pipeline import Batch, BatchPipeline, PipelineSettings, eval_batches, split_validation
from trainloop.device import check_precision, choose_device
from trainloop.loop.ema import WeightAverage
from trainloop.loop.schedule import Span, build_schedule, run_span
from trainloop.loop.timing import StageClock
from trainloop.loop.trainer import EvalSet, Training
from trainloop.models import build_model
from trainloop.own_kernel import own_convolutions
from trainloop.stages import AVERAGE, build_stages, stage_modes
from trainloop.stages.context import StageContext, Substitutes

Announce = Callable[[str], None]


def pipeline_settings(config: RunConfig, dataset: Dataset, device: torch.device) -> PipelineSettings:
    """Return how this run's images become batches."""
    return PipelineSettings(
        batch_size=config.train.batch_size,
        mean=dataset.mean,
        std=dataset.std,
        seed=config.seed,
        augment=config.data.augment,
        image_size=config.data.image_size,
        device=device,
        channels_last=config.train.channels_last,
    )


def image_shape(config: RunConfig, dataset: Dataset) -> tuple[int, int, int]:
    """Return (C, H, W) of the images as the model sees them."""
    channels, height, width = dataset.train.images.shape[1:]
    side = config.data.image_size
    return (channels, side or height, side or width)


def build_network(config: RunConfig, dataset: Dataset, device: torch.device, plugins: Sequence[Path] = ()) -> nn.Module:
    """Build the model on its device, with the given start weights if there are any.

    Raises:
        ModelError, PluginError: it cannot be named, imported, built or fed with these images.
        CheckpointError: ``model.weights`` cannot be used.
    """
    model = build_model(
        config.model,
        num_classes=len(dataset.classes),
        image_shape=image_shape(config, dataset),
        train_images=dataset.train,
        mean=dataset.mean,
        std=dataset.std,
        plugins=plugins,
    ).to(device)
    return model.to(memory_format=torch.channels_last) if config.train.channels_last else model


def own_parts(config: RunConfig, plugins: Sequence[Path] = ()) -> Substitutes:
    """Return the user's own parts that a config names: the kernels of ``stages.conv``.

    Args:
        config: validated.
        plugins: files of the user's own that may be imported.

    Raises:
        PluginError: a file is not allowed, or a kernel cannot be used; see :func:`~trainloop.own_kernel.own_convolutions`.
    """
    return Substitutes(conv=own_convolutions(config.stages.conv, plugins))


def build_training(config: RunConfig, announce: Announce, plugins: Sequence[Path] = ()) -> tuple[Training, Dataset]:
    """Build a run.

    Args:
        config: validated.
        announce: told in one line what takes time.
        plugins: files of the user's own that may be imported.

    Raises:
        TrainloopError: whatever the config asks for that cannot be had; see the parts.
    """
    device = choose_device(config.device)
    check_precision(config, device)
    stage_modes(config)
    substitutes = own_parts(config, plugins)
    dataset = load_dataset(config.data, announce)
    train, val = split_validation(dataset.train, config.data.val_size, config.seed)
    settings = pipeline_settings(config, dataset, device)
    pipeline = BatchPipeline(train, settings)
    torch.manual_seed(config.seed)
    model = build_network(config, dataset, device, plugins)
    # Again, so that the dropout of a run does not depend on how many numbers the initialisation drew.
    torch.manual_seed(config.seed)
    span = run_span(config, pipeline.num_batches)
    context = StageContext(model, config, device, substitutes=substitutes)
    stages = build_stages(context)
    training = Training(
        model=model,
        stages=stages,
        lr=build_schedule(config.schedule, span, config.optimizer.lr),
        span=span,
        epoch_batches=pipeline.epoch,
        parts=config.train.accumulation_steps,
        val=eval_set("val", val, settings, config) if len(val) else None,
        test=eval_set("test", dataset.test, settings, config),
        num_classes=len(dataset.classes),
        average=WeightAverage(model, config.train.ema_decay, AVERAGE[config.mode]) if config.train.ema_decay else None,
        device=device,
        clock=StageClock(device, config.log.timing_every),
        optimizers=context.optimizers,
        scaler=context.scaler,
        skip_nonfinite=config.train.on_nonfinite == "skip",
        convolutions=context.convolutions,
    )
    return training, dataset


def num_epochs(span: Span) -> int:
    """Return how many epochs a run begins."""
    return math.ceil(span.total_steps / span.steps_per_epoch)


def eval_set(split: str, images: ImageSet, settings: PipelineSettings, config: RunConfig) -> EvalSet:
    """Return a set to judge by, in batches of ``train.eval_batch_size``."""
    batches: Callable[[], Iterator[Batch]] = partial(
        eval_batches, images, settings, batch_size=config.train.eval_batch_size
    )
    return EvalSet(split, len(images), batches)
