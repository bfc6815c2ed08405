"""What is said of the size along an axis: which sizes share it, what is never read, what output_padding adds."""

from __future__ import annotations

from collections.abc import Sequence

from trainloop.explain_conv.explanation import Axis, Explanation

MOST_NAMED = 8
"""of a list of places"""


def distinct_axes(explanation: Explanation) -> list[tuple[str, Axis]]:
    """Return the module's own axes with their names; both in one where their arithmetic is the same."""
    own = [explanation.axes[axis] for axis in explanation.problem.axes]
    if len(own) == 2 and own[0].size.numbers == own[1].size.numbers:
        return [("H and W", own[0])]
    return [(axis.name, axis) for axis in own]


def symbols_text(explanation: Explanation) -> str:
    """Return what the letters of the formulas stand for."""
    even = explanation.problem.padding == explanation.problem.padding_after
    return f"s stride, {'p padding' if even else 'a and b padding before and behind'}, d dilation, k kernel size"


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
        unread = f"Never read along {names}: {_indices(size.never_read)} of 0 to {axis.input_size - 1}."
        notes.append(f"{unread} {_why_unread(explanation, axis)}")
    elif size.steps and size.steps[1] > 1:
        notes.append(f"Along {names} every input element is read.")
    return notes


def _paddings(explanation: Explanation) -> tuple[Sequence[int], Sequence[int]]:
    return explanation.problem.padding, explanation.problem.padding_after


def _why_unread(explanation: Explanation, axis: Axis) -> str:
    size = axis.size
    if size.left_over and set(size.never_read) <= set(range(axis.input_size - size.left_over, axis.input_size)):
        counted = ", padding included," if explanation.problem.padding_after["HW".index(axis.name)] else ""
        return f"The division leaves {size.left_over} over: so many places{counted} lie behind the last window."
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
