"""What is said of a cell and of a pixel: the taps, the sum, where it goes."""

from __future__ import annotations

from trainloop.explain_conv.axis import INPUT, INSERTED, PADDING
from trainloop.explain_conv.explanation import Cell, Explanation, Pixel, Term
from trainloop.explain_conv.words.names import named_place

MOST_TERMS = 12
"""of a sum that is written out"""


def sum_text(cell: Cell, problem_bias: bool) -> str:
    """Return the sum with its numbers, those with a zero left out: ``4·9 + 5·7 + 0 (bias) = 71``."""
    terms = [term for term in cell.terms if term.source is not None]
    shown = [f"{term.value}·{term.weight}" for term in terms[:MOST_TERMS]]
    if len(terms) > MOST_TERMS:
        rest = sum(term.product for term in terms[MOST_TERMS:])
        shown.append(f"{rest} ({len(terms) - MOST_TERMS} more products)")
    total = " + ".join(shown) or "0"
    bias = f" + {cell.bias} (bias)" if problem_bias else ""
    return f"{total}{bias} = {cell.value}"


def taps_text(cell: Cell) -> str:
    """Return how many taps there are and where they fall."""
    whats = {INPUT: "meet an input element", PADDING: "fall on padding", INSERTED: "fall between two elements"}
    parts = []
    for kind, what in whats.items():
        verb, _, where = what.partition(" ")
        count = sum(term.kind == kind for term in cell.terms)
        if count:
            parts.append(f"{count} {verb}{'s' if count == 1 else ''} {where}")
    return f"{len(cell.terms)} tap{'s' if len(cell.terms) > 1 else ''}: {', '.join(parts)}"


def term_source(explanation: Explanation, term: Term) -> str:
    """Return what a term reads, such as ``input[2,3]``."""
    if term.source is None:
        return "an inserted zero" if term.kind == "inserted" else "padding"
    name = named_place(explanation, "input", term.source, term.channel, explanation.problem.in_channels)
    return f"{name} as padding" if term.kind == "padding" else name


def pixel_text(explanation: Explanation, pixel: Pixel) -> str:
    """Return what an input pixel goes into, in a sentence."""
    name = named_place(explanation, "input", pixel.place, pixel.channel, explanation.problem.in_channels)
    effects = pixel.effects
    if not effects:
        return f"{name} = {pixel.value} goes into no output at all."
    outputs = len({(effect.channel, effect.place) for effect in effects})
    times_text = "" if outputs == len(effects) else f", in {len(effects)} products"
    return f"{name} = {pixel.value} goes into {outputs} output{'s' if outputs > 1 else ''}{times_text}:"
