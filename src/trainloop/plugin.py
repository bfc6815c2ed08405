"""The user's own code, ``path/to/file.py:name``: imported from its file, only because the command line names that file.

The file is imported under a private name; nothing is added to ``sys.path``. What goes wrong in it becomes an error that
names the last line of the user's own that was running.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from trainloop.config.suggest import nearest
from trainloop.errors import PluginError

FORM = "path/to/file.py:name"


def split_name(text: str, where: str, form: str = FORM) -> tuple[Path, str]:
    """Split ``path/to/file.py:name``.

    Args:
        text: what to split.
        where: the option or key that it is the value of.
        form: what the message expects.

    Raises:
        PluginError: the name is missing.
    """
    path, _, name = text.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise PluginError("the name in the file is missing", where=where, found=text, expected=form)
    return Path(path), name


def require_allowed(text: str, file: Path, plugins: Sequence[Path], where: str) -> None:
    """Refuse a file that a config names and the command line does not.

    Args:
        text: as the config has it.
        file: that it names.
        plugins: files that the command line allows.
        where: the key of the config.

    Raises:
        PluginError: the file is not among them.
    """
    if file.resolve() not in {plugin.resolve() for plugin in plugins}:
        allowed = ", ".join(str(plugin) for plugin in plugins)
        raise PluginError(
            "a config alone never runs a file",
            where=where,
            found=text,
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


def import_name(text: str, where: str) -> tuple[ModuleType, Path, str]:
    """Import the file of ``file.py:name``, and make sure that it has the name.

    Returns:
        The module, its file, and the name.

    Raises:
        PluginError: the file or the name is missing, or the file's code fails.
    """
    file, name = split_name(text, where)
    module = import_file(file)
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        close = nearest(name, public)
        raise PluginError(
            f"the file has no {name}",
            where=str(file),
            found=name,
            expected=", ".join(public[:12]) or "a class or a function",
            help=f"did you mean {close}?" if close else "",
        )
    return module, file, name


def load_function(text: str, where: str) -> Callable[..., Any]:
    """Import a class or a function, ``file.py:name``.

    Raises:
        PluginError: see :func:`import_name`; or what has the name cannot be called.
    """
    module, file, name = import_name(text, where)
    return function_of(module, file, name)


def function_of(module: ModuleType, file: Path, name: str) -> Callable[..., Any]:
    """Return a class or a function that a module has.

    Raises:
        PluginError: what has the name cannot be called.
    """
    found: Callable[..., Any] = getattr(module, name)
    if not callable(found):
        raise PluginError(
            f"{name} cannot be called",
            where=str(file),
            found=f"a {type(found).__name__}",
            expected="a class or a function",
        )
    return found


def failure(what: str, file: Path, error: BaseException) -> PluginError:
    """Return the error for an exception in the user's code, at the last line of the user's file that was running."""
    return PluginError(
        what, where=place(file, error), found=first_line(error), help="--debug shows the whole traceback"
    )


def place(file: Path, error: BaseException) -> str:
    """Return ``file:line`` of an exception in the user's code, the file alone where none of its lines was running."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}:{error.offset}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    return f"{file}:{lines[-1]}" if lines else str(file)


def first_line(error: BaseException) -> str:
    """Return the type of an exception and the first line of its text."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
