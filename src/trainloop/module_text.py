"""Take the text of a module apart, such as ``Conv2d(64, 256, 3, padding=1)``, without running it.

What a model prints of itself can be pasted, and a text from anywhere does no harm. Who reads it says which modules are known
and what the messages shall say.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from trainloop.config.suggest import nearest
from trainloop.errors import UsageError
from trainloop.manual.conv.padding import MODES
from trainloop.manual.windows import Sizes, per_axis

PADDINGS = ("same", "valid")
"""what padding can be instead of numbers"""
LARGEST = 999_999
"""number of an argument"""


@dataclass(frozen=True)
class ModuleReader:
    """How the text of a module is read, and what is said where it cannot be.

    Args:
        modules: class by name.
        command: of the command line, such as benchmark-conv.
        where: the option that the text was given by.
        expected: what messages expect where they have nothing better to say.
    """

    modules: Mapping[str, type[nn.Module]]
    command: str
    where: str
    expected: str

    def read(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return the name of the module and every argument by name, those that are left out with what torch takes for them.

        Args:
            text: a call of a module, with or without ``nn.`` in front.

        Raises:
            UsageError: no such text, another module, or arguments that it does not have.
        """
        name, call = self._call(text)
        return name, self._bound(name, call, text)

    def wrong(self, what: str, text: str, expected: str = "", *, help: str = "") -> UsageError:
        """Return the error for a text.

        Args:
            what: the fault in one clause.
            text: as it was typed.
            expected: instead of the reader's own.
            help: the next thing to do.
        """
        found = text if text.strip() else repr(text)
        return UsageError(what, where=self.where, found=found, expected=expected or self.expected, help=help)

    def sizes(self, name: str, value: Any, text: str, num_axes: int = 2) -> Sizes:
        """Return one number for each axis.

        Args:
            name: of the argument.
            value: a whole number, or one for each axis.
            text: as it was typed.
            num_axes: of the module.

        Raises:
            UsageError: it is neither.
        """
        numbers = value if isinstance(value, (tuple, list)) else (value,)
        if not all(type(number) is int for number in numbers) or len(numbers) not in (1, num_axes):
            pair = " or a pair of numbers" if num_axes == 2 else ""
            example = f" or {name}=(3, 3)" if num_axes == 2 else ""
            raise self.wrong(f"{name}={value!r} is not a number{pair}", text, f"such as {name}=3{example}")
        return per_axis(tuple(numbers), num_axes)

    def require_count(self, name: str, value: Any, text: str) -> int:
        """Return a whole number from 1 on.

        Raises:
            UsageError: it is none.
        """
        if type(value) is not int or value < 1:
            raise self.wrong(f"{name}={value!r} is not a number from 1 on", text, f"such as {name}=64")
        return value

    def _call(self, text: str) -> tuple[str, ast.Call]:
        try:
            tree = ast.parse(_bare(text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise self.wrong(f"this is not the text of a module: {reason}", text) from error
        if not isinstance(tree, ast.Call):
            raise self.wrong("this is not the text of a module", text)
        function = tree.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name not in self.modules:
            close = nearest(name, self.modules)
            raise self.wrong(
                f"{name or 'this'} is not a module that {self.command} knows",
                text,
                " or ".join(self.modules),
                help=f"did you mean {close}?" if close else "",
            )
        return name, tree

    def _bound(self, name: str, call: ast.Call, text: str) -> dict[str, Any]:
        keywords = [keyword.arg or "**" for keyword in call.keywords]
        for keyword in keywords:
            if keywords.count(keyword) > 1:
                raise self.wrong(f"{keyword} is given more than once", text, f"{keyword} once")
        try:
            positional = [_value(argument) for argument in call.args]
            named = {keyword: _value(given.value) for keyword, given in zip(keywords, call.keywords, strict=True)}
            if "**" in named:
                raise TypeError("a dictionary is spread over the arguments")
        except (ValueError, TypeError, SyntaxError, RecursionError) as error:
            raise self.wrong(
                f"the arguments of a module in {self.where} are plain numbers, pairs and texts", text
            ) from error
        signature = inspect.signature(self.modules[name])
        try:
            bound = signature.bind(*positional, **named)
        except TypeError as error:
            known = ", ".join(key for key in signature.parameters if key not in ("device", "dtype"))
            raise self.wrong(f"{name} does not take these arguments: {error}", text, known) from error
        bound.apply_defaults()
        for key, value in bound.arguments.items():
            self._require_moderate(key, value, text)
        bias = bound.arguments["bias"]
        if type(bias) is not bool:
            raise self.wrong(f"bias={bias!r} is neither True nor False", text, "bias=True or bias=False")
        return dict(bound.arguments)

    def _require_moderate(self, name: str, value: Any, text: str) -> None:
        """Refuse whole numbers that no convolution has, before anything is computed with them."""
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if type(number) is int and abs(number) > LARGEST:
                raise self.wrong(f"{name}={value!r} is too large", text, f"at most {LARGEST:,}")


def _bare(text: str) -> str:
    """Return the call alone: a model prints each of its modules behind its name, and a line of source assigns it."""
    text = re.sub(r"^\s*(\(\w+\)\s*:|[\w.\[\]]+\s*=(?!=))\s*", "", text)
    return re.sub(r"[\s;,]+$", "", text).strip()


def _value(node: ast.expr) -> Any:
    """Return a plain value; a module prints ``padding=same`` and ``padding_mode=reflect`` without quotation marks."""
    if isinstance(node, ast.Name) and node.id in (*PADDINGS, *MODES):
        return node.id
    return ast.literal_eval(node)
