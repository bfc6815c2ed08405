"""From the name of a model to a network that is known to take these images."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from trainloop.config.schema import ModelConfig, Scalar
from trainloop.config.suggest import nearest
from trainloop.errors import ModelError, PluginError, TrainloopError
from trainloop.models.arguments import (
    RESIZE_HELP,
    ModelContext,
    check_arguments,
    check_whole_numbers,
    parameters_of,
    refuse_arguments,
)
from trainloop.models.names import OWN_MODELS
from trainloop.models.plugin import FORM, WHERE, build_plugin, is_plugin_name
from trainloop.models.probe import PROBE_IMAGES, misfit, probe
from trainloop.models.weights import load_weights
from trainloop.plugin import failure, first_line, split_name


class HasImages(Protocol):
    """A set of images: uint8, shape (N, C, H, W)."""

    @property
    def images(self) -> Tensor:
        """Return the images."""


def _resolve(target: str) -> Callable[..., nn.Module]:
    module, _, function = target.partition(":")
    found: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
    return found


MODELS: dict[str, Callable[..., nn.Module]] = {name: _resolve(model.target) for name, model in OWN_MODELS.items()}


def build_model(
    config: ModelConfig,
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
    train_images: HasImages | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    plugins: Sequence[Path] = (),
) -> nn.Module:
    """Build the model that a config names, try it on two blank images, and load the weights it is to start from.

    The random initialisation is drawn from torch's global generator, so it follows from the seed set before the call.

    Args:
        config: name, arguments and weights.
        num_classes: outputs.
        image_shape: (C, H, W) of the images as the model gets them.
        train_images: for models that learn something from the images before training; None skips that.
        mean: per channel, of images scaled to [0, 1].
        std: likewise.
        plugins: files that the command line allows to be imported.

    Returns:
        the model, on the CPU, in training mode.

    Raises:
        ModelError: no model has this name, or it cannot be built or fed with these images.
        PluginError: the user's own class cannot be imported, found, built or fed.
        CheckpointError: ``model.weights`` is missing, damaged or of another model.
    """
    images = None if train_images is None else train_images.images
    context = ModelContext(num_classes, image_shape, images, mean, std)
    if is_plugin_name(config.name):
        model = build_plugin(config.name, config.args, num_classes=num_classes, plugins=plugins)
    else:
        model = _build_named(config.name, config.args, context)
    _require_fit(model, config.name, context)
    if config.weights is not None:
        load_weights(model, config.weights)
    return model


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters, frozen ones included, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _build_named(name: str, args: Mapping[str, Scalar], context: ModelContext) -> nn.Module:
    if name in MODELS:
        return _build_own(name, args, context)
    # Only now is torchvision needed, and it takes its time to import.
    from trainloop.models.vision import PREFIX, build_vision, is_vision_name

    vision_name = name.removeprefix(PREFIX)
    if not is_vision_name(vision_name):
        raise _unknown(name)
    _require_three_channels(name, context)
    return build_vision(vision_name, args, context)


def _build_own(name: str, args: Mapping[str, Scalar], context: ModelContext) -> nn.Module:
    function = MODELS[name]
    parameters = parameters_of(function)
    offered = context.offered()
    if "in_channels" not in parameters:
        _require_three_channels(name, context)
    check_arguments(name, args, parameters.keys() - offered.keys())
    check_whole_numbers(name, args, parameters)
    asked = {key: value for key, value in offered.items() if key in parameters}
    try:
        return function(**asked, **args)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise refuse_arguments(name, args, error) from error


def _unknown(name: str) -> ModelError:
    from trainloop.models.vision import PREFIX, vision_names

    close = nearest(name.removeprefix(PREFIX), [*MODELS, *vision_names()])
    return ModelError(
        "there is no model of this name",
        where="model.name",
        found=name,
        expected=f"{', '.join(MODELS)}, a classifier of torchvision, or path/to/file.py:Class",
        help=f"did you mean {close}?" if close else "`trainloop models` lists them all",
    )


def _require_three_channels(name: str, context: ModelContext) -> None:
    channels = context.image_shape[0]
    if channels != 3:
        raise ModelError(
            f"{name} takes colour images",
            where="model.name",
            found=f"{channels} channel{'s' if channels != 1 else ''} an image",
            expected="3 channels",
            help="choose small_cnn, resnet20 or resnet18, which take any number",
        )


def _require_fit(model: nn.Module, name: str, context: ModelContext) -> None:
    """Refuse a model that does not give one row of logits an image, or has nothing to train."""
    size = "×".join(str(side) for side in context.image_shape[1:])
    try:
        output = probe(model, context.image_shape)
    except Exception as error:
        raise _probe_failure(name, size, error) from error
    wrong = misfit(output, context.num_classes)
    if not wrong and not any(parameter.requires_grad for parameter in model.parameters()):
        wrong = "no parameter that can be trained"
    if wrong:
        raise _error_class(name)(
            f"{name} is not a classifier of these images",
            where="model.name",
            found=f"{wrong} for {PROBE_IMAGES} images of {size}",
            expected=f"logits of shape ({PROBE_IMAGES}, {context.num_classes})",
        )


def _probe_failure(name: str, size: str, error: Exception) -> TrainloopError:
    if is_plugin_name(name):
        return failure(f"the model fails on {PROBE_IMAGES} images of {size}", split_name(name, WHERE, FORM)[0], error)
    return ModelError(
        f"{name} does not take images of {size}",
        where="model.name",
        found=first_line(error),
        help=RESIZE_HELP,
    )


def _error_class(name: str) -> type[TrainloopError]:
    return PluginError if is_plugin_name(name) else ModelError
