from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from trainloop.config.schema import ModelConfig
from trainloop.models import build_model

Build = Callable[..., nn.Module]


@pytest.fixture
def build() -> Build:
    """Build a model for small RGB images of five classes, unless told otherwise."""

    def call(
        model: str,
        /,
        *,
        shape: tuple[int, int, int] = (3, 32, 32),
        plugins: tuple[Path, ...] = (),
        weights: Path | None = None,
        **args: bool | float | str,
    ) -> nn.Module:
        config = ModelConfig(name=model, args=args, weights=weights)
        mean, std = (0.5,) * shape[0], (0.25,) * shape[0]
        return build_model(
            config, num_classes=5, image_shape=shape, train_images=None, mean=mean, std=std, plugins=plugins
        )

    return call
