"""From the text of a module and the size of its input to a problem."""

from __future__ import annotations

import re
from typing import Any

from trainloop.errors import UsageError
from trainloop.explain_conv.nearest import nearest_problem
from trainloop.explain_conv.problem import SAME, Problem
from trainloop.explain_conv.reference import MODULES
from trainloop.manual.conv.padding import MODES, ZEROS
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes, window_extent
from trainloop.module_text import LARGEST, PADDINGS, ModuleReader

DEFAULT_PROBLEM = "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)"
DEFAULT_SIZE = 5
"""of the input along an axis, unless the module needs a larger one"""
WHERE, INPUT = "--problem", "--input"
COUNTS = ("in_channels", "out_channels", "groups")
PAIRS = ("kernel_size", "stride", "padding", "dilation", "output_padding")
NEUTRAL = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
"""what the row of a problem of one axis has along the axis that it lacks"""


def parse_problem(text: str, input: str | None, where: str = WHERE) -> Problem:
    """Read a problem.

    Args:
        text: a call of Conv1d, Conv2d, ConvTranspose1d or ConvTranspose2d, with or without ``nn.`` in front.
        input: its size, such as 5x5, or with channels 1x5x5; None takes one that shows everything.
        where: the option that the text was given by.

    Raises:
        UsageError: another module, arguments that it does not have, or numbers that do not fit together; with the rule, the
            numbers and the nearest that do.
    """
    reader = ModuleReader(MODULES, "explain-conv", where, f"such as {DEFAULT_PROBLEM!r}")
    module, given = reader.read(text)
    _refuse_foreign(reader, given, text)
    num_axes = 1 if module.endswith("1d") else 2
    for name in COUNTS:
        if type(given[name]) is not int:
            raise reader.wrong(f"{name}={given[name]!r} is not a whole number", text, f"such as {name}=1")
    word = given["padding"] if isinstance(given["padding"], str) else ""
    numbers = {name: _numbers(reader, name, given, text, num_axes) for name in PAIRS}
    sizes = _input_sizes(input, num_axes, given["in_channels"], where, text)
    draft = Problem(
        module=module,
        in_channels=given["in_channels"],
        out_channels=given["out_channels"],
        groups=given["groups"],
        **numbers,
        padding_after=numbers["padding"],
        bias=bool(given["bias"]),
        padding_mode=given["padding_mode"],
        padding_word=word,
        input_sizes=sizes or (1, 1),
    )
    problem = with_padding_word(draft)
    problem = problem if sizes else problem.replaced(input_sizes=default_sizes(problem))
    return checked(problem, f"{text} of {problem.size_text}", f"{where} and {INPUT}" if input else where)


def checked(problem: Problem, found: str, where: str) -> Problem:
    """Return the problem, if there is such a convolution.

    Args:
        problem: any numbers.
        found: as it was typed.
        where: the option or options that it was given by.

    Raises:
        UsageError: its numbers do not fit together; with the arithmetic and the nearest ones that do.
    """
    try:
        problem.check()
    except ConvShapeError as error:
        what, _, rest = str(error).partition("; ")
        near = nearest_problem(problem)
        size = "" if near is None else f" {INPUT} {near.size_text}"
        raise UsageError(
            what,
            where=where,
            found=found,
            expected="numbers that fit together" if near is None else f"nearest: {near.text}{size}",
            help=rest,
        ) from error
    return problem


def with_padding_word(problem: Problem) -> Problem:
    """Return the problem with "same" in numbers: of an odd number of elements the end gets one more."""
    if problem.padding_word != SAME:
        return problem
    totals = [reach - 1 for reach in window_extent(problem.kernel_size, problem.dilation)]
    return problem.replaced(
        padding=tuple(total // 2 for total in totals), padding_after=tuple(total - total // 2 for total in totals)
    )


def default_sizes(problem: Problem) -> Sizes:
    """Return the size of an input that shows everything: 5, or more where the module needs it for an output of two.

    Args:
        problem: whose own input sizes do not matter.
    """
    return tuple(_default_size(problem, axis) if axis in problem.axes else 1 for axis in range(2))


def _default_size(problem: Problem, axis: int) -> int:
    numbers = (problem.kernel_size, problem.stride, problem.padding, problem.padding_after, problem.dilation)
    kernel, stride, before, after, dilation = (pair[axis] for pair in numbers)
    if min(kernel, stride, before + 1, after + 1, dilation) < 1:
        return DEFAULT_SIZE  # refused in a moment
    if problem.transposed:
        # (H − 1)·s − 2·p + d·(k − 1) + 1 ≥ 2
        return max(DEFAULT_SIZE, 1 - -(2 * before + 1 - dilation * (kernel - 1)) // stride)
    needed = dilation * (kernel - 1) + 1 + stride - before - after
    border = max(before, after) + 1 if problem.padding_mode != ZEROS else 1
    return max(DEFAULT_SIZE, needed, border)


def _refuse_foreign(reader: ModuleReader, given: dict[str, Any], text: str) -> None:
    for name in ("device", "dtype"):
        if given[name] is not None:
            raise reader.wrong(f"{name} has no part in an explanation", text, f"a module without {name}")
    mode = given["padding_mode"]
    if mode not in MODES:
        raise reader.wrong(f"padding_mode={mode!r} is not known", text, f"one of {', '.join(MODES)}")
    if "output_padding" not in given:
        if isinstance(given["padding"], str) and given["padding"] not in PADDINGS:
            raise reader.wrong(f"padding={given['padding']!r} is not known", text, "numbers, 'same' or 'valid'")
    elif isinstance(given["padding"], str):
        raise reader.wrong("the padding of a transposed convolution is numbers, as in torch", text, "such as padding=1")
    elif mode != ZEROS:
        raise reader.wrong(
            "a transposed convolution knows padding_mode='zeros' alone, as in torch: its padding cuts off, it adds nothing",
            text,
            "a module without padding_mode",
        )


def _numbers(reader: ModuleReader, name: str, given: dict[str, Any], text: str, num_axes: int) -> Sizes:
    """Return a number for each axis of the plane."""
    value = given.get(name, 0)
    if name == "padding" and isinstance(value, str):
        value = 0
    own = reader.sizes(name, value, text, num_axes)
    return own if num_axes == 2 else (NEUTRAL[name], *own)


def _input_sizes(text: str | None, num_axes: int, channels: int, where: str, module: str) -> Sizes | None:
    """Return (H, W), or None where nothing was said."""
    if text is None:
        return None
    letters = "HxW" if num_axes == 2 else "W"
    expected = f"{letters}, such as {INPUT} {'5x5' if num_axes == 2 else '5'}"
    parts = [part.strip() for part in re.split(r"[x×,]", text.lower().strip("()[] "))]
    if not all(part.isdecimal() for part in parts):
        raise UsageError("this is not the size of an input", where=INPUT, found=text, expected=expected)
    if any(len(part.lstrip("0")) > len(str(LARGEST)) for part in parts):
        raise UsageError("this input is too large", where=INPUT, found=text, expected=f"numbers of at most {LARGEST:,}")
    sizes = tuple(map(int, parts))
    *front, own = sizes[:-num_axes], sizes[-num_axes:]
    before = front[0]
    if len(own) < num_axes or len(before) > 2:
        raise UsageError(
            f"{len(sizes)} number{'s are' if len(sizes) > 1 else ' is'} not the size of this module's input",
            where=INPUT,
            found=text,
            expected=expected,
        )
    if before and before[-1] != channels:
        raise UsageError(
            f"an input of {before[-1]} channels does not fit a module of in_channels={channels}",
            where=f"{where} and {INPUT}",
            found=f"{module} of {text}",
            expected=f"{channels}x{letters}, or {letters} alone",
        )
    return own if num_axes == 2 else (1, *own)
