"""Read a problem in words, such as ``n128 c64 o256 h15 k3 s1 p1``; ``problem.py`` says what each word means."""

from __future__ import annotations

import re

from trainloop.bench.problem import BIAS, TRANSPOSE, Problem, checked
from trainloop.config.suggest import nearest
from trainloop.errors import UsageError
from trainloop.manual.conv import Geometry, TransposedGeometry
from trainloop.manual.windows import Sizes

WHERE = "--problem"
EXAMPLE = "n128 c64 o256 h15 k3 s1 p1"
SINGLE = {
    "n": "batch",
    "c": "in_channels",
    "o": "out_channels",
    "h": "height",
    "w": "width",
    "k": "kernel height",
    "l": "kernel width",
    "g": "groups",
}
"""letters with one number"""
PAIRS = {"s": "stride", "p": "padding", "d": "dilation", "op": "output_padding"}
"""letters with one number, or one for each axis"""
NEEDED = ("n", "c", "o", "h", "k")
WORD = re.compile(r"([a-z]+)(\d+)(?:x(\d+))?")
MAX_DIGITS = 9


def parse_words(text: str, *, transpose: bool = False) -> Problem:
    """Read a problem.

    Args:
        text: words with spaces or commas between them, in any order.
        transpose: whether it is a transposed convolution even without the word ``transpose``.

    Raises:
        UsageError: a word that is none, a number that is missing or given twice, or numbers that do not fit together.
    """
    words = text.lower().replace(",", " ").split()
    numbers = _numbers([word for word in words if word not in (TRANSPOSE, BIAS)], text)
    transposed = transpose or TRANSPOSE in words
    for letter in NEEDED:
        if letter not in numbers:
            names = ", ".join(f"{key} ({SINGLE[key]})" for key in NEEDED)
            raise _wrong(f"the problem does not say {letter}, the {SINGLE[letter]}", text, f"at least {names}")
    if "op" in numbers and not transposed:
        raise _wrong(
            "op, the output_padding, belongs to a transposed convolution",
            text,
            "a problem without op",
            help="or add the word transpose (or --transpose)",
        )
    return checked(_problem(numbers, transposed=transposed, bias=BIAS in words), WHERE, text, numbers["o"][0])


def _numbers(words: list[str], text: str) -> dict[str, Sizes]:
    """Return, by letter, what the words say."""
    numbers: dict[str, Sizes] = {}
    for word in words:
        match = WORD.fullmatch(word)
        letter = match[1] if match else re.split(r"\d", word)[0]
        if letter not in SINGLE and letter not in PAIRS:
            raise _unknown(word, letter, text)
        if match is None or any(len(digits or "") > MAX_DIGITS for digits in match.groups()[1:]):
            raise _wrong(f"{word} is not a letter with its number", text, f"such as {letter}3", word)
        if match[3] and letter in SINGLE:
            raise _wrong(
                f"{letter} takes one number", text, "w beside h, l beside k, and x only in s, p, d and op", word
            )
        if letter in numbers:
            raise _wrong(f"{letter} is given twice", text, "every letter once", word)
        numbers[letter] = (int(match[2]), int(match[3] or match[2]))
    return numbers


def _problem(numbers: dict[str, Sizes], *, transposed: bool, bias: bool) -> Problem:
    def one(letter: str, usual: int = 1) -> int:
        return numbers[letter][0] if letter in numbers else usual

    height, rows, groups = one("h"), one("k"), one("g")
    input_shape = (one("n"), one("c"), height, one("w", height))
    kernel_size = (rows, one("l", rows))
    stride, padding, dilation = (
        numbers.get(letter, (usual, usual)) for letter, usual in (("s", 1), ("p", 0), ("d", 1))
    )
    # The channels of one group, one at least; where groups does not divide, or is 0, the check that comes next says so.
    parts = max(groups, 1)
    if transposed:
        weight_shape = (one("c"), max(one("o") // parts, 1), *kernel_size)
        more = numbers.get("op", (0, 0))
        return Problem(input_shape, weight_shape, TransposedGeometry(stride, padding, more, groups, dilation), bias)
    return Problem(
        input_shape,
        (one("o"), max(one("c") // parts, 1), *kernel_size),
        Geometry(stride, padding, dilation, groups),
        bias,
    )


def _unknown(word: str, letter: str, text: str) -> UsageError:
    known = {**SINGLE, **PAIRS}
    names = ", ".join(f"{key} ({name})" for key, name in known.items())
    close = nearest(letter, [*known, TRANSPOSE, BIAS]) if letter else None
    return _wrong(
        f"{word} is no word of a problem",
        text,
        f"{names}, {BIAS}, {TRANSPOSE}",
        word,
        help=f"did you mean `{close}`?" if close else f"such as --problem {EXAMPLE!r}, or the text of a module",
    )


def _wrong(what: str, text: str, expected: str, word: str = "", *, help: str = "") -> UsageError:
    found = f"{word} in {text!r}" if word else repr(text)
    return UsageError(what, where=WHERE, found=found, expected=expected, help=help or f"such as --problem {EXAMPLE!r}")
