"""Read ``--problem``: words, or the text of a module."""

from __future__ import annotations

from trainloop.bench.module_text import INPUT, is_module_text, parse_module
from trainloop.bench.problem import Problem
from trainloop.bench.words import parse_words
from trainloop.errors import UsageError


def parse_problem(text: str, input: str | None = None, *, transpose: bool = False) -> Problem:
    """Read one problem.

    Args:
        text: words such as ``n128 c64 o256 h15 k3 p1``, or the text of a module.
        input: shape of the module's input, such as 128,64,15,15.
        transpose: whether words without the word ``transpose`` mean a transposed convolution.

    Raises:
        UsageError: it is neither, or there is no such convolution; with the arithmetic.
    """
    if not is_module_text(text):
        return parse_words(text, transpose=transpose)
    problem = parse_module(text, input)
    if transpose and not problem.transposed:
        raise UsageError(
            "this module is not a transposed convolution",
            where="--transpose",
            found=text,
            expected="ConvTranspose2d(…), or a problem in words",
            help="leave out --transpose: the text of a module says what it is",
        )
    return problem


def parse_problems(texts: list[str], input: str | None = None, *, transpose: bool = False) -> list[Problem]:
    """Read the problems of a command line; arguments as above.

    Raises:
        UsageError: see :func:`parse_problem`; or ``input`` is given and no problem is the text of a module.
    """
    if input is not None and not any(map(is_module_text, texts)):
        raise UsageError(
            "an input's shape goes with the text of a module",
            where=INPUT,
            found=f"{INPUT} {input} without one",
            expected="--problem 'Conv2d(64, 256, 3, padding=1)'",
            help="a problem in words has it already: n, c, h and w",
        )
    return [parse_problem(text, input, transpose=transpose) for text in texts]
