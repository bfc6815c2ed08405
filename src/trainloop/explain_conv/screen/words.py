"""The facts of an explanation in words: pure functions, without layout or colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trainloop.explain_conv.axis import INPUT, INSERTED, PADDING
from trainloop.explain_conv.explanation import Axis, Cell, Explanation, Phases, Pixel, Term, Way
from trainloop.explain_conv.problem import Problem
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


def weight_name(problem: Problem, channel: int, output: int) -> str:
    """Return what the kernel between two channels is called: its index in torch's weight where that holds several.

    Args:
        problem: whose.
        channel: of the input.
        output: channel of the output.
    """
    if problem.weight_shape[:2] == (1, 1):
        return "weight"
    if problem.transposed:
        return f"weight[{channel},{output % (problem.out_channels // problem.groups)}]"
    return f"weight[{output},{channel % (problem.in_channels // problem.groups)}]"


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


def distinct_axes(explanation: Explanation) -> list[tuple[str, Axis]]:
    """Return the module's own axes with their names; both in one where their arithmetic is the same."""
    own = [explanation.axes[axis] for axis in explanation.problem.axes]
    if len(own) == 2 and own[0].size.numbers == own[1].size.numbers:
        return [("H and W", own[0])]
    return [(axis.name, axis) for axis in own]


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
    before, after = (pair["HW".index(axis.name)] for pair in _paddings(explanation))
    if before != after:
        notes.append(
            f"a = {before} before and b = {after} behind: padding='same' puts the odd one of them behind, as torch does."
        )
    if size.never_read:
        notes.append(
            f"Never read along {names}: {_indices(size.never_read)} of 0 to {axis.input_size - 1}. {_why_unread(axis)}"
        )
    elif size.steps and size.steps[1] > 1:
        notes.append(f"Along {names} every input element is read.")
    return notes


def _paddings(explanation: Explanation) -> tuple[Sequence[int], Sequence[int]]:
    return explanation.problem.padding, explanation.problem.padding_after


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
    if len(size.shared) > 1 and any(one.chosen for one in size.shared):
        *some, last = (str(one.size) for one in size.shared)
        sizes = f"{', '.join(some)} and {last}"
        picks = ", ".join(
            f"{one.output_padding} → {one.size}{' (this one)' if one.chosen else ''}" for one in size.shared
        )
        notes.append(
            f"{sizes} share one size: the convolution with these numbers maps each of them to {axis.input_size}. "
            f"output_padding says which one is meant: {picks}."
        )
    stride = explanation.problem.stride["HW".index(axis.name)]
    if more >= stride:
        back = axis.input_size + more // stride
        notes.append(
            f"output_padding {more} is not below the stride {stride}, which the dilation allows: so the convolution with these "
            f"numbers leads from {axis.output_size} back to {back}, not to {axis.input_size}."
        )
    if more:
        notes.append(_extra_note(explanation, axis, len(size.extra), both=both))
    return notes


def _extra_note(explanation: Explanation, axis: Axis, more: int, *, both: bool) -> str:
    row = "row" if axis.name == "H" else "column"
    ends = [row, *(["column"] if both else [])]
    which = " and ".join(f"last {end}" if more == 1 else f"last {more} {end}s" for end in ends)
    one = len(ends) == more == 1
    first = axis.output_size - more
    written = [index for index, count in enumerate(axis.size.extra) if count]
    told = first + (written[0] if written else 0)
    plane = explanation.output[0]
    numbers = plane[told] if axis.name == "H" else plane[:, told]
    shown = " ".join(map(str, numbers[:MOST_NAMED].tolist())) + (" …" if numbers.numel() > MOST_NAMED else "")
    if not written:
        return f"output_padding keeps the {which}: no stamp reaches there with these numbers, only the bias is left ({shown})."
    if len(written) == more:
        return (
            f"output_padding keeps the {which}, and {'it is' if one else 'they are'} computed, not filled with zeros: "
            f"{row} {first} is {shown}"
        )
    empty = [first + index for index in range(more) if index not in written]
    reached = [first + index for index in written]
    some = f"{row} {told} is computed" if len(reached) == 1 else f"{row}s {_indices(reached)} are computed"
    rest = f"{row}{'s' if len(empty) > 1 else ''} {_indices(empty)}"
    return (
        f"output_padding keeps the {which}{'; both alike' if both else ''}: {some}, not filled with zeros ({row} {told} is "
        f"{shown}); no stamp reaches {rest}, where only the bias is left."
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
    weights = f"{count(cost.weights)} weight{'s' if cost.weights > 1 else ''}"
    facts["parameters"] = f"{count(cost.weights + cost.biases)}: {weights}{biases}"
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


def overlap_texts(explanation: Explanation, *, with_counts: bool = True) -> list[str]:
    """Return why outputs are written (of a convolution: inputs read) as often as they are, for each axis that differs.

    Args:
        explanation: the whole.
        with_counts: add the counts of a whole period.
    """
    by_text: dict[str, list[str]] = {}
    for phases in explanation.overlap.phases:
        counts = " ".join(map(str, phases.counts))
        far = f" (far from the border: {counts}, over and over)" if with_counts and phases.stride > 1 else ""
        by_text.setdefault(f"{phases.why}{far}", []).append(phases.axis)
    return [f"{' and '.join(axes)}: {text}" for text, axes in by_text.items()]


def score_text(explanation: Explanation) -> str:
    """Return what the score of the overlap means, with its numbers."""
    phases = explanation.overlap.phases
    least, most = (math.prod(pick(one.counts) for one in phases) for pick in (min, max))
    fewest, often = _how_often(phases, min), _how_often(phases, max)
    made = "written" if explanation.problem.transposed else "read"
    if least == most:
        return f"even: far from the border each is {made} {often}; no checkerboard"
    if least == 0:
        return f"some are never {made}, others {often}: holes"
    uneven = [one for one in phases if not one.even]
    pattern = "a checkerboard" if len(uneven) == 2 else "stripes" if len(phases) == 2 else "a pattern"
    other = "" if explanation.problem.transposed else " (its gradient has the pattern, its output has not)"
    return f"{pattern}: {fewest} to {often}, 1 − {least}/{most}{other}"


def _how_often(phases: Sequence[Phases], pick: Callable[[Sequence[int]], int]) -> str:
    """Return how often, of two axes as a product: ``2·2 = 4 times``."""
    factors = [pick(one.counts) for one in phases]
    total = math.prod(factors)
    if total == 1:
        return "once"
    return f"{'·'.join(map(str, factors))} = {total} times" if len(factors) > 1 else f"{total} times"
