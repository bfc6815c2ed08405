"""The user's own network: a class in a file, built only if the command line names that file too.

A config can come from anywhere, so a path in it never makes trainloop run that file. ``--plugin path/to/file.py`` on
the command line does; ``trainloop/plugin.py`` imports it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from trainloop.config.schema import Scalar
from trainloop.config.suggest import nearest
from trainloop.errors import PluginError
from trainloop.plugin import failure, import_file, require_allowed, split_name

FORM, WHERE = "path/to/file.py:Class", "model.name"


def is_plugin_name(name: str) -> bool:
    """Say whether a model name means a class in a file."""
    return ".py:" in name or name.endswith(".py")


def build_plugin(name: str, args: Mapping[str, Scalar], *, num_classes: int, plugins: Sequence[Path]) -> nn.Module:
    """Import the file and build the class.

    Args:
        name: ``path/to/file.py:Class``, relative to the current folder.
        args: of the config, given to the class by name.
        num_classes: given to the class if it has an argument of this name.
        plugins: files that the command line allows.

    Returns:
        the model.

    Raises:
        PluginError: the file is not allowed, missing or cannot be imported, or the class is missing, not a network, or
            cannot be built; names the file and the line.
    """
    file, class_name = split_name(name, WHERE, FORM)
    require_allowed(name, file, plugins, WHERE)
    constructor = find_class(import_file(file), file, class_name)
    return _construct(constructor, file, args, num_classes)


def find_class(module: ModuleType, file: Path, class_name: str) -> type[nn.Module]:
    """Return the class.

    Raises:
        PluginError: there is none of this name, or it is not a network.
    """
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    networks = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    close = nearest(class_name, networks)
    raise PluginError(
        f"the file has no class {class_name}"
        if found is None
        else f"{class_name} is not a subclass of torch.nn.Module",
        where=str(file),
        found=class_name if found is None else f"{class_name} is a {type(found).__name__}",
        expected=", ".join(networks) or "a class derived from torch.nn.Module",
        help=f"did you mean {close!r}?" if close else "",
    )


def _construct(constructor: type[nn.Module], file: Path, args: Mapping[str, Scalar], num_classes: int) -> nn.Module:
    signature = inspect.signature(constructor)
    given: dict[str, object] = dict(args)
    if "num_classes" in signature.parameters:
        given["num_classes"] = num_classes
    try:
        signature.bind(**given)
    except TypeError as error:
        raise PluginError(
            f"{constructor.__name__} does not take these arguments: {error}",
            where=class_place(constructor, file),
            found=", ".join(f"{name}={value!r}" for name, value in given.items()) or "no arguments",
            expected=f"{constructor.__name__}{signature}",
            help="set them in model.args; num_classes is given by itself",
        ) from error
    try:
        return constructor(**given)
    except (Exception, SystemExit) as error:
        raise failure(f"{constructor.__name__} cannot be built", file, error) from error


def class_place(constructor: type, file: Path) -> str:
    """Return ``file:line`` of a class, or the file alone if Python cannot tell."""
    try:
        return f"{file}:{inspect.getsourcelines(constructor)[1]}"
    except (OSError, TypeError):
        return str(file)
