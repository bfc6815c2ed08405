"""What ``trainloop explain-conv`` is asked for: its options, checked, before anything is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainloop.errors import UsageError

if TYPE_CHECKING:
    from trainloop.explain_conv.problem import Problem

QUESTIONS = ("--solve", "--match", "--stack", "--code")
"""what is answered instead of an explanation; one at a time"""
MOST_SIZE = 4096
"""of an axis in --solve"""


@dataclass(frozen=True)
class Request:
    """The options, as they were typed.

    Args:
        problem: text of a module.
        input: size of its input.
        cell: output to take apart.
        pixel: input pixel to follow.
        solve: ``IN:OUT``.
        transpose: solve by transposed convolutions.
        match: text of a module.
        stack: a model or config file.
        code: print a program.
        html: file to write a page to.
    """

    problem: str | None
    input: str | None
    cell: str | None
    pixel: str | None
    solve: str | None
    transpose: bool
    match: str | None
    stack: str | None
    code: bool
    html: str | None = None

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: two questions at once, or an option that means nothing to the one that is asked.
        """
        asked = self._asked()
        if len(asked) > 1:
            raise UsageError(
                "one question at a time",
                found=" and ".join(asked),
                expected=f"one of {', '.join(QUESTIONS)}, or none of them",
            )
        question = self.question
        for name, value, questions in (
            ("--problem", self.problem, ("", "--code")),
            ("--input", self.input, ("", "--code", "--match", "--stack")),
            ("--cell", self.cell, ("",)),
            ("--pixel", self.pixel, ("",)),
            ("--html", self.html, ("",)),
            ("--transpose", self.transpose, ("--solve",)),
        ):
            if value not in (None, False) and question not in questions:
                beside = " or ".join(f"beside {one}" if one else "on its own" for one in questions)
                raise UsageError(
                    f"{name} means nothing {f'beside {question}' if question else 'without --solve'}",
                    found=name if value is True else f"{name} {value}",
                    expected=f"{name} {beside}",
                )

    @property
    def question(self) -> str:
        """What is asked instead of an explanation, such as --solve; nothing for none."""
        return next(iter(self._asked()), "")

    def _asked(self) -> list[str]:
        return [name for name, value in zip(QUESTIONS, self._questions(), strict=True) if value not in (None, False)]

    def _questions(self) -> tuple[object, ...]:
        return (self.solve, self.match, self.stack, self.code)


def parse_solve(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read ``7x7:14x14``.

    Raises:
        UsageError: it is not two sizes of one or two numbers each.
    """
    sides = [re.split(r"[x×,]", side.strip().lower()) for side in text.replace("→", ":").split(":")]
    numbers = [part.strip() for side in sides for part in side]
    if len(sides) != 2 or len(sides[0]) != len(sides[1]) or len(sides[0]) > 2 or not all(map(_is_size, numbers)):
        raise UsageError(
            "these are not two sizes",
            where="--solve",
            found=text,
            expected=f"IN:OUT such as 7x7:14x14 or 7:14, each number from 1 to {MOST_SIZE}",
        )
    first, second = (tuple(map(int, side)) for side in sides)
    return first, second


def _is_size(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None and 1 <= int(text) <= MOST_SIZE


def parse_place(
    text: str | None, option: str, problem: Problem, channels: int, sizes: tuple[int, ...]
) -> tuple[int, int, int] | None:
    """Read ``3,4``, or with a channel in front ``0,3,4``; in a row ``4`` or ``0,4``; negative numbers count from the end.

    Args:
        text: as it was typed, or None.
        option: --cell or --pixel.
        problem: what is explained.
        channels: of the plane.
        sizes: of the plane, (rows, columns).

    Raises:
        UsageError: no such place.
    """
    if text is None:
        return None
    own = problem.own(sizes)
    example = f"such as {option} {','.join(str(size // 2) for size in own)}"
    parts = [part.strip() for part in text.strip("()[] ").split(",")]
    if not all(re.fullmatch(r"[+-]?[0-9]{1,9}", part) for part in parts):
        raise UsageError("this is not a place", where=option, found=text, expected=example)
    numbers = [int(part) for part in parts]
    if len(numbers) not in (len(own), len(own) + 1):
        count = "1 number is" if len(numbers) == 1 else f"{len(numbers)} numbers are"
        needed = f"{len(own)}, with the channel in front {len(own) + 1}"
        raise UsageError(f"{count} not a place here: expected {needed}", where=option, found=text, expected=example)
    if len(numbers) == len(own):
        numbers = [0, *numbers]
    shape = (channels, *own)
    found = [n + size if n < 0 else n for n, size in zip(numbers, shape, strict=True)]
    if not all(0 <= n < size for n, size in zip(found, shape, strict=True)):
        what = "output" if option == "--cell" else "input"
        last = ",".join(str(size - 1) for size in own)
        zeros = ",".join("0" for _ in own)
        with_channel = (
            f", with a channel from 0 to {channels - 1} in front where it is not the first" if channels > 1 else ""
        )
        near = [min(max(n, 0), size - 1) for n, size in zip(found, shape, strict=True)]
        raise UsageError(
            f"the {what} of {'×'.join(map(str, own))} has no such place",
            where=option,
            found=text,
            expected=f"{zeros} to {last}{with_channel}",
            help=f"nearest: {option} {','.join(map(str, near[1:] if near[0] == 0 else near))}",
        )
    channel, row, column = found if problem.num_axes == 2 else (found[0], 0, found[1])
    return channel, row, column


def parse_image(text: str | None) -> tuple[int, ...] | None:
    """Read ``64x64`` or ``3x64x64``.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    parts = re.split(r"[x×,]", text.strip().lower())
    if len(parts) not in (2, 3) or not all(map(_is_size, parts)):
        raise UsageError(
            "this is not the size of an image", where="--input", found=text, expected="HxW or CxHxW, such as 3x64x64"
        )
    return tuple(map(int, parts))
