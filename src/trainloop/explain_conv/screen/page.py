"""A whole explanation as lines for a width: size, cell, equal views, overlap, cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from trainloop.explain_conv.explanation import Explanation, Term
from trainloop.explain_conv.screen.grids import cell_grids, overlap_grid, pixel_grids
from trainloop.explain_conv.screen.layout import heading, paragraph, side_by_side, table
from trainloop.explain_conv.screen.views import view_lines
from trainloop.explain_conv.words.cell import MOST_TERMS, pixel_text, sum_text, taps_text, term_source
from trainloop.explain_conv.words.cost import cost_facts
from trainloop.explain_conv.words.names import checked_text, head, named_place, place_text
from trainloop.explain_conv.words.overlap import overlap_texts, score_text, way_text
from trainloop.explain_conv.words.rule import rule_lines
from trainloop.explain_conv.words.size import distinct_axes, size_notes, symbols_text

Lines = Iterator[Text]
MOST_EFFECTS = 12


def page(explanation: Explanation, width: int) -> list[Text]:
    """Return the lines of an explanation.

    Args:
        explanation: to show.
        width: columns that there are.
    """
    style = "green" if explanation.same else "bold red"
    return [
        *paragraph(head(explanation), width, indent=0, style="bold"),
        *paragraph(checked_text(explanation), width, indent=0, style=style),
        *_size(explanation, width),
        *_cell(explanation, width),
        *view_lines(explanation, width),
        *_overlap(explanation, width),
        *_cost(explanation, width),
    ]


def _size(explanation: Explanation, width: int) -> Lines:
    yield from heading("1 The size", width)
    yield from paragraph(symbols_text(explanation), width, style="dim")
    for names, axis in distinct_axes(explanation):
        yield from paragraph(f"{names} → {axis.size.symbols}", width, indent=6, first="  ")
        yield from paragraph(f"= {axis.size.numbers}", width, indent=6, first="      ")
        for note in size_notes(explanation, axis, names):
            yield from paragraph(note, width)


def _cell(explanation: Explanation, width: int) -> Lines:
    cell, problem = explanation.cell, explanation.problem
    name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
    yield from heading(f"2 A cell: {name} = {cell.value}", width)
    yield from side_by_side(cell_grids(explanation, width - 2), width)
    rule, *numbers = rule_lines(explanation)
    yield from paragraph(rule, width)
    for line in numbers:
        yield from paragraph(line, width, indent=6, first="    ")
    yield from paragraph(f"{taps_text(cell)}. A tap of the kernel, and what it meets:", width)
    yield from _terms(explanation, width)
    yield from paragraph(sum_text(cell, problem.bias), width, indent=4, first="  ", style="bold")
    yield Text()
    yield from paragraph(f"And backwards: {pixel_text(explanation, explanation.pixel)}", width)
    yield from side_by_side(pixel_grids(explanation, width - 2), width)
    yield from _effects(explanation, width)


def _terms(explanation: Explanation, width: int) -> Lines:
    """Yield the taps that meet something, then how many meet a zero."""
    cell, problem = explanation.cell, explanation.problem
    read = [term for term in cell.terms if term.source is not None]
    rows = [_term_row(explanation, term) for term in read[:MOST_TERMS]]
    if rows:
        yield from table(
            ("tap", "weight", "meets", "value", "product"), rows, width, right=("weight", "value", "product"), indent=4
        )
    if len(read) > MOST_TERMS:
        yield from paragraph(
            f"… and {len(read) - MOST_TERMS} more (--json has them all)", width, indent=4, first="    "
        )
    first = cell.terms[0].channel
    zeros = [term for term in cell.terms if term.source is None and term.channel == first]
    if zeros:
        shown = ", ".join(f"{place_text(explanation, term.tap)} ({_zero(term)})" for term in zeros[:MOST_TERMS])
        more = f" and {len(zeros) - MOST_TERMS} more" if len(zeros) > MOST_TERMS else ""
        every = " (in each channel)" if problem.in_channels // problem.groups > 1 else ""
        yield from paragraph(f"Taps without an element{every}: {shown}{more}", width, indent=4, first="    ")


def _zero(term: Term) -> str:
    return "padding" if term.kind == "padding" else "between"


def _term_row(explanation: Explanation, term: Term) -> tuple[str, ...]:
    tap = place_text(explanation, term.tap)
    return (tap, str(term.weight), term_source(explanation, term), str(term.value), str(term.product))


def _effects(explanation: Explanation, width: int) -> Lines:
    pixel, problem = explanation.pixel, explanation.problem
    rows = [
        (
            named_place(explanation, "output", effect.place, effect.channel, problem.out_channels),
            place_text(explanation, effect.tap),
            f"{pixel.value}·{effect.weight} = {pixel.value * effect.weight}",
        )
        for effect in pixel.effects[:MOST_EFFECTS]
    ]
    if rows:
        yield from table(("adds to", "tap", "product"), rows, width, indent=4)
    if len(pixel.effects) > MOST_EFFECTS:
        more = len(pixel.effects) - MOST_EFFECTS
        yield from paragraph(f"… and {more} more (--json has them all)", width, indent=4, first="    ")


def _overlap(explanation: Explanation, width: int) -> Lines:
    overlap, transposed = explanation.overlap, explanation.problem.transposed
    what = "How often each output is written" if transposed else "How often each input is read"
    yield from heading(f"4 Overlap: {what.lower()}", width)
    yield from side_by_side([overlap_grid(explanation, width - 2)], width)
    for text in overlap_texts(explanation):
        yield from paragraph(text, width, indent=4, first="  ")
    yield from paragraph(f"score {overlap.score:.2f}: {score_text(explanation)}", width, style="bold")
    if overlap.ways:
        yield from paragraph("Nearest parameters without the pattern, with the same output size:", width)
        for way in overlap.ways:
            yield from paragraph(way_text(way), width, indent=8, first="    ")


def _cost(explanation: Explanation, width: int) -> Lines:
    yield from heading("5 What it costs, for one image", width)
    for name, text in cost_facts(explanation).items():
        yield from paragraph(text, width, indent=18, first=f"  {name}")
