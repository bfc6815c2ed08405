"""Read a problem as the text of a module, such as ``Conv2d(64, 256, 3, padding=1)``, with the shape of its input."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainloop.bench.problem import Problem, checked
from trainloop.errors import UsageError
from trainloop.manual.conv import Geometry, TransposedGeometry
from trainloop.manual.windows import Sizes
from trainloop.module_text import PADDINGS, ModuleReader

WHERE, INPUT = "--problem", "--input"
EXAMPLE = "Conv2d(64, 256, 3, padding=1)"
READER = ModuleReader(
    {"Conv2d": nn.Conv2d, "ConvTranspose2d": nn.ConvTranspose2d},
    "benchmark-conv",
    WHERE,
    f"such as {EXAMPLE!r}, or words such as 'n128 c64 o256 h15 k3 p1'",
)
EXAMPLE_INPUT = "128,64,15,15"
NUMBERS = ("in_channels", "out_channels", "groups")
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
    _, given = READER.read(text)
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
        READER.require_count(number, given[number], text)
    pairs = {key: _sizes(key, given[key], text) for key in PAIRS if key in given}
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


def _refuse_what_no_kernel_does(given: dict[str, Any], text: str) -> None:
    if given["padding_mode"] != "zeros":
        raise READER.wrong(
            f"padding_mode={given['padding_mode']!r} is done before the convolution, not by its kernel",
            text,
            "padding_mode='zeros'",
            help="measure the convolution of the padded input: padding=0 and a larger --input",
        )
    for name in ("device", "dtype"):
        if given[name] is not None:
            raise READER.wrong(f"{name} is the run's affair", text, f"a module without {name}", help=f"use --{name}")


def _sizes(name: str, value: Any, text: str) -> Any:
    """Return a number for each axis; ``same`` and ``valid`` as they are."""
    return value if name == "padding" and value in PADDINGS else READER.sizes(name, value, text)


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
        raise READER.wrong("padding='same' needs stride=1, as in torch", text, "stride=1, or a padding in numbers")
    if any(total % 2 for total in totals):
        raise READER.wrong(
            f"padding='same' of a kernel of {kernel_size[0]}×{kernel_size[1]} adds one zero more on one side, which is done "
            "before the convolution",
            text,
            "a kernel of odd size, or a padding in numbers",
        )
    return tuple(total // 2 for total in totals)
