"""Read a problem as the text of a module, such as ``Conv2d(64, 256, 3, padding=1)``, with the shape of its input.

The text is taken apart, never run: what a model prints of itself can be pasted, and a text from anywhere does no harm.
"""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

from torch import nn

from trainloop.bench.problem import Problem, checked
from trainloop.config.suggest import nearest
from trainloop.errors import UsageError
from trainloop.manual.conv import Geometry, TransposedGeometry
from trainloop.manual.conv.padding import MODES
from trainloop.manual.windows import Sizes, per_axis

WHERE, INPUT = "--problem", "--input"
MODULES: dict[str, type[nn.Module]] = {"Conv2d": nn.Conv2d, "ConvTranspose2d": nn.ConvTranspose2d}
EXAMPLE = "Conv2d(64, 256, 3, padding=1)"
EXAMPLE_INPUT = "128,64,15,15"
NUMBERS = ("in_channels", "out_channels", "groups")
PADDINGS = ("same", "valid")
PAIRS = ("kernel_size", "stride", "padding", "dilation", "output_padding")


def is_module_text(text: str) -> bool:
    """Say whether a problem is the text of a module; one in words has no brackets."""
    return "(" in text


def parse_module(text: str, input: str | None) -> Problem:
    """Read a problem.

    Args:
        text: a call of Conv2d or ConvTranspose2d, with or without ``nn.`` in front.
        input: the shape of its input, such as 128,64,15,15.

    Raises:
        UsageError: another module, arguments that it does not have, no shape, or numbers that do not fit together.
    """
    name, arguments = _call(text)
    given = _bound(name, arguments, text)
    _refuse_what_no_kernel_does(given, text)
    if input is None:
        raise UsageError(
            "the text of a module does not say what its input is",
            where=INPUT,
            found=f"--problem {text!r} without --input",
            expected=f"N,C,H,W such as {INPUT} {EXAMPLE_INPUT}",
        )
    shape = parse_shape(input)
    for number in NUMBERS:
        _require_int(number, given[number], text)
    pairs = {key: _pair(key, given[key], text) for key in PAIRS if key in given}
    return _problem(shape, given, pairs, text)


def parse_shape(text: str) -> Sizes:
    """Read ``N,C,H,W``.

    Raises:
        UsageError: it is not four numbers.
    """
    parts = [part.strip() for part in text.lower().replace("x", ",").strip("()[] ").split(",")]
    if len(parts) != 4 or not all(part.isdecimal() and len(part) <= 9 for part in parts):
        raise UsageError(
            "this is not the shape of an input", where=INPUT, found=text, expected=f"N,C,H,W such as {EXAMPLE_INPUT}"
        )
    return tuple(map(int, parts))


def _call(text: str) -> tuple[str, ast.Call]:
    """Return the name of the module and the call."""
    try:
        # A model prints each of its modules behind its name.
        tree = ast.parse(re.sub(r"^\s*\(\w+\):\s*", "", text).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _wrong(f"this is not the text of a module: {reason}", text) from error
    if not isinstance(tree, ast.Call):
        raise _wrong("this is not the text of a module", text)
    function = tree.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in MODULES:
        close = nearest(name, MODULES)
        raise _wrong(
            f"{name or 'this'} is not a module that benchmark-conv knows",
            text,
            " or ".join(MODULES),
            help=f"did you mean {close}?" if close else "",
        )
    return name, tree


def _bound(name: str, call: ast.Call, text: str) -> dict[str, Any]:
    """Return every argument of the module by name, those that are left out with what torch takes for them."""
    try:
        positional = [_value(argument) for argument in call.args]
        named = {keyword.arg or "**": _value(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise _wrong("the arguments of a module in --problem are plain numbers, pairs and texts", text) from error
    signature = inspect.signature(MODULES[name])
    try:
        bound = signature.bind(*positional, **named)
    except TypeError as error:
        known = ", ".join(key for key in signature.parameters if key not in ("device", "dtype"))
        raise _wrong(f"{name} does not take these arguments: {error}", text, known) from error
    bound.apply_defaults()
    return dict(bound.arguments)


def _value(node: ast.expr) -> Any:
    """Return a plain value; a module prints ``padding=same`` and ``padding_mode=reflect`` without quotation marks."""
    if isinstance(node, ast.Name) and node.id in (*PADDINGS, *MODES):
        return node.id
    return ast.literal_eval(node)


def _refuse_what_no_kernel_does(given: dict[str, Any], text: str) -> None:
    if given["padding_mode"] != "zeros":
        raise _wrong(
            f"padding_mode={given['padding_mode']!r} is done before the convolution, not by its kernel",
            text,
            "padding_mode='zeros'",
            help="measure the convolution of the padded input: padding=0 and a larger --input",
        )
    for name in ("device", "dtype"):
        if given[name] is not None:
            raise _wrong(f"{name} is the run's affair", text, f"a module without {name}", help=f"use --{name}")


def _pair(name: str, value: Any, text: str) -> Any:
    """Return a number for each axis; ``same`` and ``valid`` as they are."""
    if name == "padding" and value in PADDINGS:
        return value
    numbers = value if isinstance(value, (tuple, list)) else (value,)
    if not all(type(number) is int for number in numbers) or len(numbers) not in (1, 2):
        raise _wrong(
            f"{name}={value!r} is not a number or a pair of numbers", text, f"such as {name}=3 or {name}=(3, 3)"
        )
    return per_axis(tuple(numbers), 2)


def _require_int(name: str, value: Any, text: str) -> None:
    if type(value) is not int or value < 1:
        raise _wrong(f"{name}={value!r} is not a number from 1 on", text, f"such as {name}=64")


def _problem(shape: Sizes, given: dict[str, Any], pairs: dict[str, Any], text: str) -> Problem:
    kernel_size, stride, dilation = pairs["kernel_size"], pairs["stride"], pairs["dilation"]
    channels, out_channels, groups = (given[name] for name in NUMBERS)
    padding, bias, where = pairs["padding"], bool(given["bias"]), f"{WHERE} and {INPUT}"
    found = f"{text} of {','.join(map(str, shape))}"
    if shape[1] != channels:
        raise UsageError(
            f"an input of {shape[1]} channels does not fit a module of in_channels={channels}",
            where=where,
            found=found,
            expected=f"{INPUT} N,{channels},H,W",
        )
    if "output_padding" in pairs:
        weight_shape = (channels, max(out_channels // groups, 1), *kernel_size)
        transposed = TransposedGeometry(stride, padding, pairs["output_padding"], groups, dilation)
        return checked(Problem(shape, weight_shape, transposed, bias), where, found, out_channels)
    padding = _in_numbers(padding, kernel_size, stride, dilation, text)
    weight_shape = (out_channels, max(channels // groups, 1), *kernel_size)
    return checked(
        Problem(shape, weight_shape, Geometry(stride, padding, dilation, groups), bias), where, found, out_channels
    )


def _in_numbers(padding: Any, kernel_size: Sizes, stride: Sizes, dilation: Sizes, text: str) -> Sizes:
    """Return ``same`` and ``valid`` in numbers, on both sides alike."""
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        numbers: Sizes = padding
        return numbers
    totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
    if stride != (1, 1):
        raise _wrong("padding='same' needs stride=1, as in torch", text, "stride=1, or a padding in numbers")
    if any(total % 2 for total in totals):
        raise _wrong(
            f"padding='same' of a kernel of {kernel_size[0]}×{kernel_size[1]} adds one zero more on one side, which is done "
            "before the convolution",
            text,
            "a kernel of odd size, or a padding in numbers",
        )
    return tuple(total // 2 for total in totals)


def _wrong(what: str, text: str, expected: str = "", *, help: str = "") -> UsageError:
    return UsageError(
        what,
        where=WHERE,
        found=text,
        expected=expected or f"such as {EXAMPLE!r}, or words such as 'n128 c64 o256 h15 k3 p1'",
        help=help,
    )
