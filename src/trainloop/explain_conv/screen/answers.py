"""The answers to --solve, --match and --stack as lines for a width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from rich.text import Text

from trainloop.explain_conv.match import Match
from trainloop.explain_conv.overlap import phase_counts, unreached
from trainloop.explain_conv.screen.layout import paragraph, table
from trainloop.explain_conv.solver import Parameters, Solved
from trainloop.explain_conv.stack.field import Field
from trainloop.explain_conv.stack.results import Row, Stack
from trainloop.explain_conv.words.names import times
from trainloop.manual.windows import Sizes
from trainloop.report.format import count

MOST_SOLUTIONS = 20
AXES = ("H", "W")


def solve_lines(solved: Solved, width: int) -> Iterator[Text]:
    """Yield the solutions, the simplest first.

    Args:
        solved: the answer.
        width: columns that there are.
    """
    kind = "transposed convolution" if solved.transposed else "convolution"
    what = f"{kind} {times(solved.input_sizes)} → {times(solved.output_sizes)}"
    bounds = solved.bounds
    limits = (
        f"kernel_size ≤ {bounds.kernel_size}, stride ≤ {bounds.stride}, dilation ≤ {bounds.dilation} (1 for a kernel of 1), "
        "padding ≤ dilation·(kernel_size − 1)"
    ) + (", output_padding < max(stride, dilation)" if solved.transposed else "")
    yield from paragraph(f"{what}: {_how_many(len(solved.solutions))}", width, indent=0, style="bold")
    yield from paragraph(f"of {count(solved.tried)} combinations tried: {limits}", width, indent=0)
    if solved.solutions:
        yield Text()
        yield from _solutions(solved, solved.solutions, width)
    for axis, found in enumerate(solved.per_axis):
        if found:
            yield Text()
            pair = f"{solved.input_sizes[axis]} → {solved.output_sizes[axis]}"
            yield from paragraph(
                f"along {AXES[axis]} alone, {pair}: {_how_many(len(found))}", width, indent=0, style="bold"
            )
            yield from _solutions(solved, found, width)
    for axis, sizes in solved.reachable.items():
        name = f" along {AXES[axis]}" if len(solved.input_sizes) > 1 else ""
        nearest = " and ".join(map(str, sizes))
        yield from paragraph(
            f"nearest sizes{name} that {solved.input_sizes[axis]} leads to: {nearest}", width, indent=0
        )


def _how_many(number: int) -> str:
    return f"{count(number) if number else 'no'} solution{'s' if number != 1 else ''}"


def _solutions(solved: Solved, solutions: Sequence[Parameters], width: int) -> Iterator[Text]:
    names = ["kernel_size", "stride", "padding", "dilation", *(["output_padding"] if solved.transposed else [])]
    rows = [
        (*(str(getattr(one, name)) for name in names), note_of(one, transposed=solved.transposed))
        for one in solutions[:MOST_SOLUTIONS]
    ]
    heads = ["kernel", "stride", "padding", "dilation", *(["output_padding"] if solved.transposed else [])]
    if width < 80 and solved.transposed:
        heads[-1] = "out_pad"
    yield from table((*heads, ""), rows, width, right=heads, indent=0)
    if len(solutions) > MOST_SOLUTIONS:
        more = count(len(solutions) - MOST_SOLUTIONS)
        yield from paragraph(f"… and {more} more, less simple (--json lists them all)", width, indent=0)


def note_of(one: Parameters, *, transposed: bool) -> str:
    """Return what is to be known of a solution beside its having the right size.

    Args:
        one: the solution.
        transposed: of a transposed convolution.
    """
    if not transposed:
        return "skips elements" if one.leaves_gaps else ""
    counts = phase_counts(one.kernel_size, one.stride, one.dilation)
    if min(counts) == 0:
        return "leaves outputs empty"
    behind = unreached(one.padding, one.output_padding)
    end = f"the last {behind if behind > 1 else 'output'} empty" if behind else ""
    return ", ".join(filter(None, ("checkerboard" if len(set(counts)) > 1 else "", end)))


def match_lines(match: Match, width: int) -> Iterator[Text]:
    """Yield the module that undoes the shape of another.

    Args:
        match: the answer.
        width: columns that there are.
    """
    yield from paragraph(f"{match.text}   {times(match.input_sizes)} → {times(match.output_sizes)}", width, indent=0)
    if not match.answer:
        yield from paragraph(
            f"no module with these numbers undoes its shape: {match.reason}", width, indent=0, style="bold"
        )
        sizes = f"{times(match.output_sizes)}:{times(match.input_sizes)}".replace("×", "x")
        transpose = " --transpose" if "Transpose" not in match.text else ""
        yield from paragraph(f"others: trainloop explain-conv --solve {sizes}{transpose}", width, indent=0)
        return
    back = f"{match.answer}   {times(match.output_sizes)} → {times(match.input_sizes)}"
    yield from paragraph(back, width, indent=0, style="bold")
    yield from paragraph("It undoes the shape, not the values.", width, indent=0)
    by_text: dict[str, list[str]] = {}
    for axis, residues in zip(AXES[2 - len(match.residues) :], match.residues, strict=True):
        if residues:
            by_text.setdefault(_residue_text(residues), []).append(axis)
    for text, axes in by_text.items():
        yield from paragraph(f"The output_padding depends on {' and '.join(axes)}: {text}.", width, indent=0)


def _residue_text(residues: Sequence[tuple[int, int]]) -> str:
    """Return which output_padding leads back to which sizes: ``1 for sizes of 2·n, 0 for 2·n + 1``."""
    stride = len(residues)
    texts = [f"{more} for {stride}·n{f' + {rest}' if rest else ''}" for rest, more in residues]
    return ", ".join(texts)


def stack_lines(stack: Stack, width: int) -> Iterator[Text]:
    """Yield the sizes and receptive fields through a network.

    Args:
        stack: the answer.
        width: columns that there are.
    """
    image = stack.input_shape[1:]
    yield from paragraph(f"{stack.name} · images of {times(stack.input_shape)}", width, indent=0, style="bold")
    yield from paragraph(
        "field: how many pixels of the image a cell sees along an axis; jump: how far apart what two neighbours see; start: "
        "the middle of what the first cell sees, 0 for the first pixel. A field larger than the image reaches into padding.",
        width,
        indent=0,
    )
    if any(field.cells is not None for row in stack.rows for field in row.fields):
        yield from paragraph(
            "Where cells differ, the field is from the smallest to the largest (0: such a cell sees nothing), a jump that "
            "varies is an average (~), and padding from there on counts as nothing.",
            width,
            indent=0,
        )
    yield Text()
    rows = [_stack_row(row, width) for row in stack.rows]
    yield from _stack_table(rows, width)
    yield Text()
    yield from _last(stack, image, width)


def _stack_table(rows: Sequence[tuple[str, ...]], width: int) -> list[Text]:
    """Return the rows as a table; where it is too narrow for them, with operation and module in one column that is wrapped."""
    right = ("jump", "start", "field")
    lines = table(("operation", "size", *right, "module"), rows, width, right=right, indent=0)
    if all(len(line.plain) <= width for line in lines):
        return lines
    wrapped = [(*numbers, f"{what} in {module}") for what, *numbers, module in rows]
    return table(("size", *right, "operation in module"), wrapped, width, right=right, indent=0)


def _stack_row(row: Row, width: int) -> tuple[str, ...]:
    fields = row.fields
    what = row.what
    if row.branches:
        what = f"{what} of {'|'.join(map(str, row.branches))}"
    module = row.module.partition(" (")[0] if width < 100 else row.module
    return (
        what,
        f"{row.channels}×{times([field.size for field in fields])}",
        _jump(fields),
        _per_axis(["none" if field.centre is None else _number(field.centre) for field in fields]),
        _per_axis([_extent(field) for field in fields]),
        module.replace("the model itself", "the model"),
    )


def _last(stack: Stack, image: Sizes, width: int) -> Iterator[Text]:
    extent = _per_axis([_extent(field) for field in stack.last])
    plain = [f"receptive field of a cell of the last feature map: {extent} pixels, the image has {times(image)}"]
    if any(row.branches for row in stack.rows):
        plain.append(
            "where branches meet, a cell sees what either sees (their fields stand in the row): the field is the largest, not "
            "that of every way"
        )
    if stack.end is not None:
        together = _per_axis([_extent(field) for field in stack.end.fields])
        plain.append(f"{stack.end.what} then puts all cells together: {together} pixels, padding included")
    if stack.not_followed:
        plain.append(
            f"not a chain of windows from here on, so not followed further: {stack.not_followed} mixes the places of the image"
        )
    for text in plain:
        yield from paragraph(text, width, indent=2, first="· ")


def _jump(fields: Sequence[Field]) -> str:
    """Return the distance of what two neighbours see, with ~ where it varies."""
    numbers = [field.jump if field.distance is None else field.distance for field in fields]
    varies = any(field.distance is None for field in fields)
    return "~" * varies + _per_axis([_number(number) for number in numbers])


def _extent(field: Field) -> str:
    """Return how many pixels a cell sees: ``5``, or ``3 to 5`` where cells differ."""
    largest = _number(field.extent)
    return largest if field.fewest == field.extent else f"{field.fewest} to {largest}"


def _number(number: Fraction) -> str:
    return f"{float(number):g}"


def _per_axis(texts: Sequence[str]) -> str:
    """Return one text where the axes agree, else one for each."""
    return texts[0] if len(set(texts)) == 1 else (" × " if any(" " in text for text in texts) else "×").join(texts)
