"""The facts of an explanation in words: pure functions, without layout or colour."""

from __future__ import annotations

from collections.abc import Sequence

from trainloop.explain_conv.axis import INPUT, INSERTED, PADDING
from trainloop.explain_conv.explanation import Axis, Cell, Explanation, Pixel, Size, Term, Way
from trainloop.report.format import count
from trainloop.report.format import size as bytes_text

MOST_TERMS = 12
"""of a sum that is written out"""
MOST_NAMED = 8
"""of a list of places"""


def times(sizes: Sequence[int]) -> str:
    """Return (5, 5) as ``5×5``."""
    return "×".join(map(str, sizes))


def place_text(explanation: Explanation, place: tuple[int, int], channel: int | None = None) -> str:
    """Return a place as ``3,4``, in a row as ``4``; with the channel in front where there are several."""
    own = explanation.problem.own(place)
    return ",".join(map(str, own if channel is None else (channel, *own)))


def named_place(explanation: Explanation, name: str, place: tuple[int, int], channel: int, channels: int) -> str:
    """Return ``input[3,4]``, or ``input[0,3,4]`` where there are several channels."""
    return f"{name}[{place_text(explanation, place, channel if channels > 1 else None)}]"


def head(explanation: Explanation) -> str:
    """Return what is explained, in a line."""
    problem = explanation.problem
    sizes = [
        times((*([channels] if channels > 1 else []), *problem.own(pair)))
        for channels, pair in (
            (problem.in_channels, problem.input_sizes),
            (problem.out_channels, explanation.output_sizes),
        )
    ]
    return f"{explanation.text} · {sizes[0]} → {sizes[1]}"


def checked_text(explanation: Explanation) -> str:
    """Return what was compared with torch and what came of it."""
    bad = [check.what for check in explanation.checks if not check.same]
    names = ", ".join(check.what for check in explanation.checks)
    if bad:
        return f"checked against torch {explanation.torch_version}: NOT the same: {', '.join(bad)}"
    return f"checked against torch {explanation.torch_version}: same ({names})"


def size_notes(explanation: Explanation, axis: Axis, names: str) -> list[str]:
    """Return what is to be said of the size along an axis.

    Args:
        explanation: the whole.
        axis: the axis.
        names: of the axes that this is said of, such as ``H and W``.
    """
    if explanation.problem.transposed:
        return [*_shared_notes(explanation, axis, both=" and " in names), *_cropped_notes(axis)]
    size = axis.size
    notes = []
    if size.never_read:
        notes.append(
            f"Never read along {names}: {_indices(size.never_read)} of 0 to {axis.input_size - 1}. {_why_unread(axis)}"
        )
    elif size.steps and size.steps[1] > 1:
        notes.append(f"Along {names} every input element is read.")
    return notes


def _why_unread(axis: Axis) -> str:
    size = axis.size
    if size.left_over and set(size.never_read) <= set(range(axis.input_size - size.left_over, axis.input_size)):
        return f"The division leaves {size.left_over} over: so many elements lie behind the last window."
    return "No tap of any window falls there" + (
        f", and the division leaves {size.left_over} over." if size.left_over else "."
    )


def _shared_notes(explanation: Explanation, axis: Axis, *, both: bool) -> list[str]:
    size = axis.size
    more = explanation.problem.output_padding["HW".index(axis.name)]
    notes = []
    if len(size.shared) > 1:
        sizes = " and ".join(str(one.size) for one in size.shared)
        picks = ", ".join(
            f"{one.output_padding} → {one.size}{' (this one)' if one.chosen else ''}" for one in size.shared
        )
        notes.append(
            f"{sizes} share one size: the convolution with these numbers maps each of them to {axis.input_size}. "
            f"output_padding says which one is meant: {picks}."
        )
    if more:
        notes.append(_extra_note(explanation, axis, more, both=both))
    return notes


def _extra_note(explanation: Explanation, axis: Axis, more: int, *, both: bool) -> str:
    row = "row" if axis.name == "H" else "column"
    ends = [row, *(["column"] if both else [])]
    which = " and ".join(f"last {end}" if more == 1 else f"last {more} {end}s" for end in ends)
    one = len(ends) == more == 1
    first = axis.output_size - more
    plane = explanation.output[0]
    numbers = plane[first] if axis.name == "H" else plane[:, first]
    shown = " ".join(map(str, numbers[:MOST_NAMED].tolist())) + (" …" if numbers.numel() > MOST_NAMED else "")
    written = [index for index, count in enumerate(axis.size.extra) if count]
    if not written:
        return f"output_padding keeps the {which}: no stamp reaches there with these numbers, only the bias is left ({shown})."
    some = (
        "" if len(written) == more else f" of the {row}s {len(written)} {'is' if len(written) == 1 else 'are'} reached,"
    )
    return (
        f"output_padding keeps the {which}, and {'it is' if one else 'they are'} computed, not filled with zeros:{some} "
        f"{row} {first} is {shown}"
    )


def _cropped_notes(axis: Axis) -> list[str]:
    if not axis.size.never_read:
        return []
    return [f"Input elements {_indices(axis.size.never_read)} have no effect: padding cuts their stamps off."]


def _indices(numbers: Sequence[int]) -> str:
    """Return ``0, 1, 2 and 7``, of a long run ``3 to 9``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [text for run in runs for text in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    if len(texts) > MOST_NAMED:
        texts = [*texts[:MOST_NAMED], f"… {texts[-1]}"]
    return ", ".join(texts[:-1]) + f" and {texts[-1]}" if len(texts) > 1 else texts[0]


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
    whats = {INPUT: "meet an input element", PADDING: "fall on padding", INSERTED: "fall on a zero between"}
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


def size_lines(size: Size) -> tuple[str, str]:
    """Return the formula, and the formula with numbers."""
    return size.symbols, size.numbers


def way_text(way: Way) -> str:
    """Return other parameters, and in brackets what is different."""
    changes = ", ".join(f"{name} {_number(old)} → {_number(new)}" for name, (old, new) in way.changed.items())
    return f"{way.text}   ({changes})"


def _number(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else times(numbers)


def cost_facts(explanation: Explanation) -> dict[str, str]:
    """Return what it costs, in a text for each name."""
    problem, cost = explanation.problem, explanation.cost
    wasted = cost.products - cost.useful
    where = "are cut off again" if problem.transposed else "are with padding"
    products = f"{count(cost.products)}" + (
        f", of which {count(wasted)} {where} ({count(cost.useful)} without them)" if wasted else ""
    )
    facts = {"products": products}
    if problem.transposed:
        facts["zero_insert"] = (
            f"{count(cost.zero_insert_products)} products if the spread input is convolved, "
            f"{count(cost.zero_insert_products - cost.useful)} of them with a zero"
        )
    biases = f" + {count(cost.biases)} biases" if cost.biases > 1 else " + 1 bias" if cost.biases else ""
    facts["parameters"] = f"{count(cost.weights + cost.biases)}: {count(cost.weights)} weights{biases}"
    rows, columns = cost.columns
    groups = f", {problem.groups} times" if problem.groups > 1 else ""
    facts["im2col"] = (
        f"{count(rows)} × {count(columns)} numbers{groups}: {bytes_text(cost.columns_bytes)} in float32, beside "
        f"{bytes_text(cost.input_bytes)} of input and {bytes_text(cost.output_bytes)} of output"
    )
    if cost.kind != "dense":
        facts["groups"] = (
            f"{cost.kind}, {problem.groups} groups: 1/{problem.groups} of the {count(cost.dense_products)} products that it "
            "would take without"
        )
    if max(problem.dilation) > 1:
        reach = [d * (k - 1) + 1 for k, d in zip(problem.kernel_size, problem.dilation, strict=True)]
        own = problem.own(tuple(reach))
        facts["dilation"] = f"a window of {times(own)} at the cost of {times(problem.own(problem.kernel_size))} taps"
    return facts
