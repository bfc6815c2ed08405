"""The network that ``--stack`` names: a model as ``trainloop models`` lists it, or the model of a config file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from trainloop.config import load_config
from trainloop.config.schema import DataConfig, ModelConfig
from trainloop.errors import ModelError, UsageError
from trainloop.explain_conv.stack.results import Stack
from trainloop.explain_conv.stack.trace import trace
from trainloop.manual.windows import Sizes
from trainloop.models import build_model

CHANNELS, SIDE = 3, 32
"""of CIFAR-10's images"""
NUM_CLASSES = 10
RESIZE_HELP = "larger images: --input 224x224 suits every torchvision model"
SUFFIXES = (".yaml", ".yml")


def stack_of(name: str, image: Sizes | None, plugins: Sequence[Path] = ()) -> Stack:
    """Return sizes and receptive fields through a network.

    Args:
        name: of a model, or a config file.
        image: (C, H, W), or (H, W); None takes the config's, or CIFAR-10's 3 × 32 × 32.
        plugins: files of the user's own that may be imported.

    Raises:
        UsageError: there is no such model or config, or it does not take these images.
    """
    if not name.strip():
        raise UsageError(
            "this names no network",
            where="--stack",
            found=repr(name),
            expected="a model, such as --stack resnet20, or a config file",
            help="`trainloop models` lists the models",
        )
    if Path(name).suffix in SUFFIXES:
        config = load_config(Path(name)).config
        model_config, sizes = config.model, _sizes_of(config.data, name, image)
    else:
        model_config, sizes = ModelConfig(name=name), image or (SIDE, SIDE)
    shape = (CHANNELS, *sizes) if len(sizes) == 2 else sizes
    try:
        model = _build(model_config, shape, plugins)
    except ModelError as error:
        if "image_size" not in error.faults[0].help:
            raise
        fault = dataclasses.replace(error.faults[0], where=f"--stack {name}", help=RESIZE_HELP)
        raise ModelError([fault]) from error
    return trace(model, shape, name if Path(name).suffix not in SUFFIXES else f"{model_config.name} of {name}")


def _build(config: ModelConfig, shape: Sizes, plugins: Sequence[Path]) -> nn.Module:
    """Return the model with fresh weights, which sizes and fields do not depend on."""
    torch.manual_seed(0)
    return build_model(
        config.model_copy(update={"weights": None}),
        num_classes=NUM_CLASSES,
        image_shape=(shape[0], shape[1], shape[2]),
        train_images=None,
        mean=(0.5,) * shape[0],
        std=(0.5,) * shape[0],
        plugins=plugins,
    )


def _sizes_of(data: DataConfig, name: str, image: Sizes | None) -> Sizes:
    """Return the size of a config's images.

    Raises:
        UsageError: only the images themselves know it.
    """
    if image is not None:
        return image
    if data.image_size is not None:
        return (data.image_size, data.image_size)
    if data.dataset == "folder":
        raise UsageError(
            "the config does not say how large its images are",
            where=f"--stack {name}",
            found="data.dataset folder without data.image_size",
            expected="--input 3x64x64, or whatever the images are",
        )
    return (SIDE, SIDE)
