"""An edit of the source of one module of ``trainloop.manual``, executed as a module of its own beside the real one.

The real module is read, never changed: the edited text is compiled under a private name, and where another module has to see
it, that one is executed anew too, with an ``__import__`` of its own that finds the edited module in the place of the real one.
When the last reference to it is gone, so is the fault.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "trainloop.manual"
PRIVATE = "_trainloop_zoo"


class EditError(Exception):
    """An edit does not fit the source that it was written for: the text is not there, or more than once."""


@dataclass(frozen=True)
class Edit:
    """Text that takes the place of other text in one module.

    Args:
        module: below ``trainloop.manual``, such as ``optim.sgd``.
        changes: (old, new), each old text exactly once in ``within``.
        within: name of the function or class to look in; empty for the whole file.
        through: modules to execute on top of it, in this order, because they import the edited one.
    """

    module: str
    changes: tuple[tuple[str, str], ...]
    within: str = ""
    through: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the edited source.

        Raises:
            EditError: an old text is not there, or more than once.
        """
        source = _source(self.module)
        start, end = _span(source, self.within, self.module)
        region = source[start:end]
        for old, new in self.changes:
            if (count := region.count(old)) != 1:
                place = f"{self.module}{f', in {self.within}' if self.within else ''}"
                raise EditError(f"{old!r} occurs {count} times in {place}, expected once")
            region = region.replace(old, new)
        return source[:start] + region + source[end:]

    def load(self) -> ModuleType:
        """Execute the edited module and those on top of it; return the last of them.

        Raises:
            EditError: see :meth:`text`.
        """
        module = _executed(self.module, self.text(), {})
        replaced = {f"{PACKAGE}.{self.module}": module}
        for name in self.through:
            module = replaced[f"{PACKAGE}.{name}"] = _executed(name, _source(name), replaced)
        return module


def _source(name: str) -> str:
    spec = importlib.util.find_spec(f"{PACKAGE}.{name}")
    if spec is None or spec.origin is None:
        raise EditError(f"there is no module {PACKAGE}.{name}")
    return Path(spec.origin).read_text(encoding="utf-8")


def _span(source: str, within: str, module: str) -> tuple[int, int]:
    """Return where a function or class begins and ends, as positions in the text."""
    if not within:
        return 0, len(source)
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == within
    ]
    if len(found) != 1:
        raise EditError(f"{within} is defined {len(found)} times in {module}, expected once")
    lines = source.splitlines(keepends=True)
    first, last = found[0].lineno - 1, found[0].end_lineno
    return len("".join(lines[:first])), len("".join(lines[:last]))


def _executed(name: str, text: str, replaced: Mapping[str, ModuleType]) -> ModuleType:
    """Execute a text as a module that the import system never gets to know."""
    private = f"{PRIVATE}.{name}"
    module = ModuleType(private)
    module.__file__ = f"<{PACKAGE}.{name}, edited>"
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importing(replaced)}
    # Dataclasses look their module up while they are made.
    sys.modules[private] = module
    try:
        exec(compile(text, module.__file__, "exec"), module.__dict__)  # noqa: S102  # our own source
    finally:
        del sys.modules[private]
    return module


def _importing(replaced: Mapping[str, ModuleType]) -> Any:
    """Return an ``__import__`` that finds some modules in the place of others, for ``from … import …`` only."""

    def load(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name in replaced:
            return replaced[name]
        found = builtins.__import__(name, globals, locals, fromlist or (), level)
        changed = {item: replaced[f"{name}.{item}"] for item in fromlist or () if f"{name}.{item}" in replaced}
        if not changed:
            return found
        copy = ModuleType(name)
        copy.__dict__.update(vars(found) | changed)
        return copy

    return load
