"""What a model is built from: facts of the run that it may ask for, and ``model.args`` of the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from trainloop.config.schema import Scalar
from trainloop.config.suggest import nearest
from trainloop.errors import ModelError
from trainloop.plugin import first_line

RESIZE_HELP = "resize the images: data.image_size: 224 suits every torchvision model"
Parameters = Mapping[str, inspect.Parameter]


@dataclass(frozen=True)
class ModelContext:
    """The facts of a run that a model may depend on.

    Args:
        num_classes: outputs.
        image_shape: (C, H, W) as the model gets them.
        images: training images, uint8, shape (N, C, H, W), or None.
        mean: per channel, of images scaled to [0, 1].
        std: likewise.
    """

    num_classes: int
    image_shape: tuple[int, int, int]
    images: Tensor | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def offered(self) -> dict[str, object]:
        """Return the facts by the names under which a function of ``names.py`` may ask for them."""
        return {
            "num_classes": self.num_classes,
            "in_channels": self.image_shape[0],
            "images": self.images,
            "mean": self.mean,
            "std": self.std,
        }


def parameters_of(target: Callable[..., object]) -> Parameters:
    """Return the parameters that can be given by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter for name, parameter in inspect.signature(target).parameters.items() if parameter.kind in by_name
    }


def check_arguments(model: str, args: Mapping[str, Scalar], accepted: Iterable[str]) -> None:
    """Refuse an argument that the model does not have.

    Raises:
        ModelError: names the argument, the accepted ones and the nearest.
    """
    known = sorted(accepted)
    for name, value in args.items():
        if name not in known:
            close = nearest(name, known)
            raise ModelError(
                f"{model} has no argument {name!r}",
                where=f"model.args.{name}",
                found=f"{name}: {value}",
                expected=", ".join(known) or "no arguments",
                help=f"did you mean {close!r}?" if close else "",
            )


def check_whole_numbers(model: str, args: Mapping[str, Scalar], parameters: Parameters) -> None:
    """Refuse anything but 1, 2, 3, … for an argument whose default is a whole number, as a count of channels.

    Raises:
        ModelError: names the argument and the value.
    """
    for name, value in args.items():
        if type(parameters[name].default) is int and (type(value) is not int or value < 1):
            raise ModelError(
                f"{name} of {model} is a count",
                where=f"model.args.{name}",
                found=f"{name}: {value}",
                expected="a whole number, at least 1",
            )


def refuse_arguments(model: str, args: Mapping[str, Scalar], error: Exception) -> ModelError:
    """Return the error for arguments that a model has but cannot be built with."""
    given = ", ".join(f"{name}: {value}" for name, value in args.items()) or "no arguments"
    return ModelError(
        f"{model} cannot be built with these arguments",
        where="model.args",
        found=given,
        help=f"the model says: {first_line(error)}",
    )
