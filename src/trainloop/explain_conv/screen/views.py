"""The equal views in words and grids, and the same numbers out of each of them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from trainloop.explain_conv.explanation import Explanation, View
from trainloop.explain_conv.screen.grids import cut_outs, uncropped_grid, window_grids
from trainloop.explain_conv.screen.layout import heading, paragraph, side_by_side
from trainloop.explain_conv.screen.matrix import matrix_lines
from trainloop.explain_conv.words.names import place_text
from trainloop.report.format import count

NUMBERS = {2: "two", 3: "three"}


def view_lines(explanation: Explanation, width: int) -> Iterator[Text]:
    """Yield each view, then what all of them make of the numbers around the chosen cell.

    Args:
        explanation: the whole.
        width: columns that there are.
    """
    views = {view.name: view for view in explanation.views}
    yield from heading(f"3 The same in {NUMBERS[len(views)]} views", width)
    if "scatter" in views:
        yield from _scatter(explanation, views["scatter"], width)
        yield Text()
        yield from _zero_insert(explanation, views["zero_insert"], width)
    else:
        yield from _gather(explanation, views["gather"], width)
    yield Text()
    yield from matrix_lines(explanation, views["matrix"], width)
    yield Text()
    yield from _together(explanation, width)


def _scatter(explanation: Explanation, view: View, width: int) -> Iterator[Text]:
    problem = explanation.problem
    stride, padding = problem.own(problem.stride), problem.own(problem.padding)
    ends = _each(problem.own(explanation.output_sizes))
    places = f"below 0 and from {ends} on"
    cut = f" Then padding cuts {_each(padding)} off each side, {places}" if any(padding) else " Nothing is cut off"
    more = problem.own(problem.output_padding)
    kept = f", and output_padding keeps {_each(more)} more at the end" if any(more) else ""
    text = (
        f"scatter: every input element stamps the kernel, times itself; neighbours stamp {_each(stride)} apart; where stamps "
        f"overlap they add up.{cut}{kept}."
    )
    yield from paragraph(text, width)
    yield from side_by_side([uncropped_grid(explanation, view, width - 2)], width)


def _zero_insert(explanation: Explanation, view: View, width: int) -> Iterator[Text]:
    problem = explanation.problem
    between = tuple(stride - 1 for stride in problem.own(problem.stride))
    around = problem.own(view.offset)
    zeros = (
        f"{_each(between)} zero{'s' if between != (1,) * len(between) else ''} between neighbours"
        if any(between)
        else ""
    )
    parts = ", ".join(part for part in (zeros, *_margins(around)) if part)
    more = problem.own(problem.output_padding)
    extra = f" and {_each(more)} more at the end" if any(more) else ""
    text = (
        f"zero_insert: spread the input ({parts}{extra}), and convolve it with stride 1 and the kernel turned by half a turn. "
        f"The window of the cell {place_text(explanation, explanation.cell.place)} is marked."
    )
    yield from paragraph(text, width)
    yield from side_by_side(window_grids(explanation, view, width - 2), width)


def _gather(explanation: Explanation, view: View, width: int) -> Iterator[Text]:
    problem = explanation.problem
    padding = problem.own(problem.padding), problem.own(problem.padding_after)
    uneven = f"{_each(padding[0])} before and {_each(padding[1])} behind"
    amount = _each(padding[0]) if padding[0] == padding[1] else uneven
    border = f"pad the input by {amount} ({problem.padding_mode}), and " if any(padding[1]) else ""
    text = (
        f"gather: {border}let a window of taps slide over it, {_each(problem.own(problem.stride))} at a time; every output "
        "is the sum of tap times what it sees. "
        f"The window of the cell {place_text(explanation, explanation.cell.place)} is marked."
    )
    yield from paragraph(text, width)
    yield from side_by_side(window_grids(explanation, view, width - 2), width)


def _together(explanation: Explanation, width: int) -> Iterator[Text]:
    computed = [view for view in explanation.views if view.output is not None]
    numbers = count(explanation.output.numel())
    verdict = ", ".join(f"{view.name} {'same as torch' if view.same else 'NOT torch'}" for view in computed)
    all = "the one number" if explanation.output.numel() == 1 else f"all {numbers} numbers"
    yield from paragraph(f"Side by side, around the cell; of {all}: {verdict}.", width)
    yield from side_by_side(cut_outs(explanation, width - 2), width)
    for view in explanation.views:
        if view.output is None:
            yield from paragraph(
                f"{view.name} was not multiplied out: {_too_many(explanation, view)}, too many for a moment.",
                width,
            )


def _too_many(explanation: Explanation, view: View) -> str:
    if view.name == "matrix":
        return f"{count(view.entries)} entries"
    return f"{count(explanation.cost.zero_insert_products)} products, nearly all with a zero"


def _margins(around: tuple[int, ...]) -> list[str]:
    """Return how many zeros lie around the spread input, or how much is cropped, which may differ from axis to axis."""
    if min(around) >= 0:
        return [f"{_each(around)} around"]
    if max(around) <= 0:
        return [f"cropped by {_each(tuple(-number for number in around))}"]
    texts = (f"{number} around" if number >= 0 else f"cropped by {-number}" for number in around)
    return [f"{text} along {axis}" for text, axis in zip(texts, "HW", strict=True)]


def _each(numbers: tuple[int, ...]) -> str:
    """Return the number, or ``3 (H) and 1 (W)`` where the axes differ."""
    return str(numbers[0]) if len(set(numbers)) == 1 else f"{numbers[0]} (H) and {numbers[1]} (W)"
