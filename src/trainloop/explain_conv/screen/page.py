"""A whole explanation as lines for a width: size, cell, equal views, overlap, cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from trainloop.explain_conv.explanation import Axis, Explanation, Term
from trainloop.explain_conv.screen.grids import cell_grids, overlap_grid, pixel_grids
from trainloop.explain_conv.screen.layout import heading, paragraph, side_by_side, table
from trainloop.explain_conv.screen.views import view_lines
from trainloop.explain_conv.screen.words import (
    MOST_TERMS,
    checked_text,
    cost_facts,
    head,
    named_place,
    pixel_text,
    place_text,
    size_notes,
    sum_text,
    taps_text,
    term_source,
    way_text,
)

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
    for names, axis in _distinct_axes(explanation):
        yield from paragraph(f"{names} → {axis.size.symbols}", width, indent=6, first="  ")
        yield from paragraph(f"= {axis.size.numbers}", width, indent=6, first="      ")
        for note in size_notes(explanation, axis, names):
            yield from paragraph(note, width)


def _distinct_axes(explanation: Explanation) -> list[tuple[str, Axis]]:
    """Return the module's own axes with their names; both in one where their arithmetic is the same."""
    own = [explanation.axes[axis] for axis in explanation.problem.axes]
    if len(own) == 2 and own[0].size.numbers == own[1].size.numbers:
        return [("H and W", own[0])]
    return [(axis.name, axis) for axis in own]


def _cell(explanation: Explanation, width: int) -> Lines:
    cell, problem = explanation.cell, explanation.problem
    name = named_place(explanation, "output", cell.place, cell.channel, problem.out_channels)
    yield from heading(f"2 A cell: {name} = {cell.value}", width)
    yield from side_by_side(cell_grids(explanation, width - 2), width)
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
    zeros = [term for term in cell.terms if term.source is None]
    if zeros:
        shown = ", ".join(f"{place_text(explanation, term.tap)} ({_zero(term)})" for term in zeros[:MOST_TERMS])
        more = f" and {len(zeros) - MOST_TERMS} more" if len(zeros) > MOST_TERMS else ""
        first_channel = " of the first channel" if problem.in_channels // problem.groups > 1 else ""
        yield from paragraph(f"Taps that meet a zero{first_channel}: {shown}{more}", width, indent=4, first="    ")


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
    by_text: dict[str, list[str]] = {}
    for phases in overlap.phases:
        counts = " ".join(map(str, phases.counts))
        far = f" (far from the border: {counts}, over and over)" if phases.stride > 1 else ""
        by_text.setdefault(f"{phases.why}{far}", []).append(phases.axis)
    for text, axes in by_text.items():
        yield from paragraph(f"{' and '.join(axes)}: {text}", width, indent=4, first="  ")
    yield from paragraph(f"score {overlap.score:.2f}: {_score_text(explanation)}", width, style="bold")
    if overlap.ways:
        yield from paragraph("Nearest parameters without the pattern, with the same output size:", width)
        for way in overlap.ways:
            yield from paragraph(way_text(way), width, indent=8, first="    ")


def _score_text(explanation: Explanation) -> str:
    overlap = explanation.overlap
    least, most = 1, 1
    for phases in overlap.phases:
        least, most = least * min(phases.counts), most * max(phases.counts)
    made = "written" if explanation.problem.transposed else "read"
    if overlap.score == 0:
        return f"even, far from the border all are {made} alike; no checkerboard"
    if least == 0:
        return f"some are never {made}, others {most} time{'s' if most > 1 else ''}: holes"
    other = "" if explanation.problem.transposed else " (its gradient has the pattern, its output has not)"
    return f"a checkerboard of {least} and {most}, 1 − {least}/{most}{other}"


def _cost(explanation: Explanation, width: int) -> Lines:
    yield from heading("5 What it costs, an image", width)
    for name, text in cost_facts(explanation).items():
        yield from paragraph(text, width, indent=18, first=f"  {name}")
