"""torchvision's classification models by name, untrained, with the number of classes set.

``aux_logits`` (GoogLeNet, Inception) is always off: the helper heads are a second and third loss that only those
two papers have, and this trainer has one loss. ``init_weights`` is on, the initialisation of the papers. A vision
transformer is built for the size of the images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import get_args

import torchvision
from torch import nn

from trainloop.config.schema import Scalar
from trainloop.errors import ModelError
from trainloop.models.arguments import RESIZE_HELP, ModelContext, check_arguments, refuse_arguments
from trainloop.plugin import first_line

PREFIX = "torchvision."
SCALARS = (bool, int, float, str)
# These builders read arguments that do not stand in the signature of the class.
HIDDEN_ARGUMENTS: dict[str, tuple[str, ...]] = {"MobileNetV3": ("width_mult", "reduced_tail", "dilated")}


def vision_names() -> list[str]:
    """Return the names of the classification models."""
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def is_vision_name(name: str) -> bool:
    """Say whether torchvision has a model of this name, whatever its task."""
    return name in torchvision.models.list_models()


def build_vision(name: str, args: Mapping[str, Scalar], context: ModelContext) -> nn.Module:
    """Build a model.

    Args:
        name: one of torchvision's names.
        args: of the config.
        context: facts of the run.

    Returns:
        the model, untrained.

    Raises:
        ModelError: the model is for another task, or cannot be built with these arguments.
    """
    builder = torchvision.models.get_model_builder(name)
    _refuse_other_task(name, builder)
    constructor = inspect.signature(builder, eval_str=True).return_annotation
    parameters = set(inspect.signature(constructor).parameters) - {"kwargs"}
    fixed = {key: value for key, value in _fixed_arguments(context).items() if key in parameters}
    settable = _settable_arguments(constructor) - {"aux_logits", "num_classes"}
    check_arguments(name, args, settable)
    try:
        model: nn.Module = builder(weights=None, **{**fixed, **args})
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise refuse_arguments(name, args, error) if args else _refuse_size(name, context, error) from error
    return model


def _fixed_arguments(context: ModelContext) -> dict[str, object]:
    _, height, width = context.image_shape
    return {
        "num_classes": context.num_classes,
        "aux_logits": False,
        "init_weights": True,
        "image_size": height,
        "input_size": (height, width),
    }


def _settable_arguments(constructor: type) -> set[str]:
    """Return the arguments that hold one number or word, so that a config can set them."""
    parameters = inspect.signature(constructor, eval_str=True).parameters.values()
    scalars = {item.name for item in parameters if isinstance(item.default, SCALARS) or _may_be_scalar(item)}
    return scalars.union(HIDDEN_ARGUMENTS.get(constructor.__name__, ()))


def _may_be_scalar(parameter: inspect.Parameter) -> bool:
    """Say whether an argument that is None unless set may be a number or a word."""
    return parameter.default is None and any(kind in SCALARS for kind in get_args(parameter.annotation))


def _refuse_size(name: str, context: ModelContext, error: Exception) -> ModelError:
    _, height, width = context.image_shape
    return ModelError(
        f"{name} cannot be built for images of {height}×{width}",
        where="model.name",
        found=first_line(error),
        help=RESIZE_HELP,
    )


def _refuse_other_task(name: str, builder: Callable[..., nn.Module]) -> None:
    task = builder.__module__.removeprefix("torchvision.models.").split(".")
    if name not in vision_names():
        raise ModelError(
            f"{name} is torchvision's, but no image classifier",
            where="model.name",
            found=f"a model of torchvision.models.{task[0]}",
            expected="a model that gives one row of logits an image",
            help="`trainloop models` lists the classifiers",
        )
