"""What is said of stamps: where they lie, which products meet in a cell, and what the bias adds."""

from __future__ import annotations

import dataclasses
import string

from trainloop.explain_conv.explanation import Cell, Term
from trainloop.explain_conv.pictures.planes import Place
from trainloop.explain_conv.problem import Problem
from trainloop.explain_conv.words.cell import sum_text


def begins(starts: tuple[int, ...]) -> str:
    """Return where a stamp begins, in words.

    Args:
        starts: on the output, along each axis that the module has.
    """
    if len(starts) == 1:
        return f"from column {starts[0]} on"
    return f"from row {starts[0]}, column {starts[1]} on"


def apart(problem: Problem) -> str:
    """Return how far apart the places are that a stamp is added to, where that is more than one.

    Args:
        problem: whose stamps.
    """
    axes = zip(("row", "column"), problem.kernel_size, problem.dilation, strict=True)
    apart = {name: dilation for name, taps, dilation in axes if taps > 1}
    if len(apart) == 2 and len(set(apart.values())) == 1:
        apart = {"place": next(iter(apart.values()))}
    texts = [f"every {_nth(dilation)} {name}" for name, dilation in apart.items() if dilation > 1]
    return f", {' and '.join(texts)}" if texts else ""


def _nth(number: int) -> str:
    """Return ``2nd``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def letters_of(terms: list[Term]) -> dict[tuple[int, Place], str]:
    """Return a letter for each product, by its channel and tap, in the order of the sum; none where they do not suffice.

    Args:
        terms: that are no zeros, of the channels that are drawn.
    """
    if not 1 < len(terms) <= len(string.ascii_lowercase):
        return {}
    return {(term.channel, term.tap): letter for term, letter in zip(terms, string.ascii_lowercase, strict=False)}


def stamps_text(cell: Cell, problem_bias: bool) -> str:
    """Return the sum of the stamps that the picture shows, and then with the bias, which it does not show.

    Args:
        cell: whose sum.
        problem_bias: whether the problem has a bias at all.
    """
    if not cell.bias:
        return sum_text(cell, problem_bias)
    stamps = dataclasses.replace(cell, value=cell.value - cell.bias)
    return f"{sum_text(stamps, False)}; {stamps.value} + {cell.bias} (bias) = {cell.value}"
