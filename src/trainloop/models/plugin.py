"""The user's own network: a class in a file, built only if the command line names that file too.

A config can come from anywhere, so a path in it never makes trainloop run that file. ``--plugin path/to/file.py`` on
the command line does. The file is imported under a private name, from its own path; nothing is added to ``sys.path``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from trainloop.config.schema import Scalar
from trainloop.config.suggest import nearest
from trainloop.errors import PluginError
from trainloop.models.arguments import first_line

FORM = "path/to/file.py:Class"


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
    file, class_name = split_name(name)
    _require_allowed(name, file, plugins)
    constructor = find_class(import_file(file), file, class_name)
    return _construct(constructor, file, args, num_classes)


def split_name(name: str) -> tuple[Path, str]:
    """Split ``path/to/file.py:Class``.

    Raises:
        PluginError: the class is not named.
    """
    path, _, class_name = name.rpartition(":")
    if not path.endswith(".py") or not class_name.isidentifier():
        raise PluginError("the class in the file is not named", where="model.name", found=name, expected=FORM)
    return Path(path), class_name


def _require_allowed(name: str, file: Path, plugins: Sequence[Path]) -> None:
    if file.resolve() not in {plugin.resolve() for plugin in plugins}:
        allowed = ", ".join(str(plugin) for plugin in plugins)
        raise PluginError(
            "a config alone never runs a file",
            where="model.name",
            found=name,
            expected=f"one of the files named by --plugin: {allowed}" if allowed else "",
            help=f"if you trust this file, add: --plugin {file}",
        )


def import_file(file: Path) -> ModuleType:
    """Import a file under a private module name.

    Raises:
        PluginError: it is missing, or its code fails; names the line.
    """
    if not file.is_file():
        what = "this is a folder, not a file" if file.is_dir() else "there is no such file"
        raise PluginError(what, where=str(file), expected=FORM)
    name = f"_trainloop_plugin_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError("Python cannot import this file", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise failure("the file cannot be imported", file, error) from error
    return module


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


def failure(what: str, file: Path, error: BaseException) -> PluginError:
    """Return the error for an exception in the user's code, at the last line of the user's file that was running."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        where = f"{error.filename}:{error.lineno}:{error.offset}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
        where = f"{file}:{lines[-1]}" if lines else str(file)
    return PluginError(what, where=where, found=first_line(error), help="--debug shows the whole traceback")
