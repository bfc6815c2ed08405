"""A problem as a program: plain loops and torch's own lines, which give exactly the numbers of the explanation.

The program is made from the problem's numbers alone; a test runs it for every kind of problem and compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from trainloop.explain_conv.problem import Problem
from trainloop.explain_conv.values import BIASES, CHANNEL, OTHER_CHANNEL, span
from trainloop.manual.conv.padding import ZEROS

INDENT = "    "


class AxisNames(NamedTuple):
    """What the loops call the places along one axis.

    Args:
        place: of the axis in (H, W).
        input: of an input element.
        tap: of a tap.
        output: of an output.
    """

    place: int
    input: str
    tap: str
    output: str


NAMES = (AxisNames(0, "h", "k", "p"), AxisNames(1, "w", "l", "q"))


def program(problem: Problem) -> str:
    """Return a program that computes the problem twice, prints the output and says whether the two agree.

    Args:
        problem: that has been checked.
    """
    return "\n".join([*_values(problem), "", *_loops(problem), "", *_torch(problem)]) + "\n"


def _values(problem: Problem) -> Iterator[str]:
    """Yield the lines that make x, weight and bias."""
    axes = [NAMES[axis] for axis in problem.axes]
    sizes = problem.own(problem.input_sizes)
    x = _counted([("c", problem.in_channels, CHANNEL)], [(axis.input, n) for axis, n in zip(axes, sizes, strict=True)])
    first, second, *kernel = problem.weight_shape
    channels = [("a", first, CHANNEL), ("b", second, OTHER_CHANNEL)]
    own_kernel = problem.own(tuple(kernel))
    weight = _counted(channels, [(axis.tap, n) for axis, n in zip(axes, own_kernel, strict=True)])
    shape = "in_channels, out_channels / groups" if problem.transposed else "out_channels, in_channels / groups"
    yield f"# {problem.text} of an input of {problem.size_text}"
    yield f"x = {x}  # channels, {_axes_text(problem)}"
    yield f"weight = {weight}  # {shape}, kernel"
    bias = f"o % {BIASES}" if problem.bias else "0"
    yield f"bias = [{bias} for o in range({problem.out_channels})]"


def _axes_text(problem: Problem) -> str:
    return "rows, columns" if problem.num_axes == 2 else "columns"


def _counted(channels: list[tuple[str, int, int]], places: list[tuple[str, int]]) -> str:
    """Return nested lists that count row by row; ``values.py`` has the formula."""
    columns = places[-1][1]
    steps = [(name, step) for name, _, step in channels]
    steps += [(name, columns if name != places[-1][0] else 1) for name, _ in places]
    total = " + ".join(name if step == 1 else f"{step} * {name}" for name, step in steps)
    text = f"({total}) % {span(columns)} + 1"
    for name, size in reversed([*((name, size) for name, size, _ in channels), *places]):
        text = f"[{text} for {name} in range({size})]"
    return text


def _loops(problem: Problem) -> Iterator[str]:
    """Yield the loops."""
    axes = [NAMES[axis] for axis in problem.axes]
    zeros = "bias[o]"
    for axis in reversed(axes):
        zeros = f"[{zeros} for {axis.output} in range({problem.output_sizes[axis.place]})]"
    say = "every input element stamps the kernel" if problem.transposed else "every output gathers what its taps see"
    yield f"# plain loops: {say}"
    yield f"y = [{zeros} for o in range({problem.out_channels})]"
    depth = 0
    for name, values in [*_channel_loops(problem), *_place_loops(problem)]:
        yield f"{INDENT * depth}for {name} in {values}:"
        depth += 1
    for line in _body(problem):
        yield INDENT * depth + line


def _channel_loops(problem: Problem) -> list[tuple[str, str]]:
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    if problem.groups == 1:
        return [("o", f"range({outputs})"), ("c", f"range({inputs})")]
    return [("g", f"range({problem.groups})"), ("o", _share("g", outputs)), ("c", _share("g", inputs))]


def _share(group: str, size: int) -> str:
    return f"range({group}, {group} + 1)" if size == 1 else f"range({size} * {group}, {size} * ({group} + 1))"


def _place_loops(problem: Problem) -> list[tuple[str, str]]:
    axes = [NAMES[axis] for axis in problem.axes]
    if problem.transposed:
        places = [(axis.input, f"range({problem.input_sizes[axis.place]})") for axis in axes]
    else:
        places = [(axis.output, f"range({problem.output_sizes[axis.place]})") for axis in axes]
    return [*places, *((axis.tap, f"range({problem.kernel_size[axis.place]})") for axis in axes)]


def _body(problem: Problem) -> Iterator[str]:
    """Yield what happens for one pair of places and one tap."""
    axes = [NAMES[axis] for axis in problem.axes]
    here = [axis.output if problem.transposed else axis.input for axis in axes]
    yield f"{', '.join(here)} = {', '.join(_place(problem, axis) for axis in axes)}"
    sizes = problem.output_sizes if problem.transposed else problem.input_sizes
    add = f"y[o]{_index(axes, 'output')} += {_weight(problem, axes)} * x[c]{_index(axes, 'input')}"
    if problem.padding_mode != ZEROS:
        for axis in axes:
            yield f"{axis.input} = {_border(problem.padding_mode, axis.input, sizes[axis.place])}"
        yield add
        return
    inside = " and ".join(f"0 <= {name} < {sizes[axis.place]}" for name, axis in zip(here, axes, strict=True))
    yield f"if {inside}:"
    yield INDENT + add


def _weight(problem: Problem, axes: list[AxisNames]) -> str:
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    ends = f"[c]{_within('o', outputs, problem)}" if problem.transposed else f"[o]{_within('c', inputs, problem)}"
    return f"weight{ends}{_index(axes, 'tap')}"


def _within(name: str, per_group: int, problem: Problem) -> str:
    """Return the index of a channel within its group."""
    if problem.groups == 1:
        return f"[{name}]"
    return "[0]" if per_group == 1 else f"[{name} % {per_group}]"


def _index(axes: list[AxisNames], which: str) -> str:
    return "".join(f"[{getattr(axis, which)}]" for axis in axes)


def _place(problem: Problem, axis: AxisNames) -> str:
    """Return ``2 * h + k - 1``: where a stamp's tap lies, or what a window's tap sees."""
    stride, dilation, padding = (n[axis.place] for n in (problem.stride, problem.dilation, problem.padding))
    start = axis.input if problem.transposed else axis.output
    terms = [name if factor == 1 else f"{factor} * {name}" for factor, name in ((stride, start), (dilation, axis.tap))]
    return " + ".join(terms) + (f" - {padding}" if padding else "")


def _border(mode: str, name: str, size: int) -> str:
    """Return which element is seen outside the input."""
    return {
        "reflect": f"{size - 1} - abs({size - 1} - abs({name}))",
        "replicate": f"min(max({name}, 0), {size - 1})",
        "circular": f"{name} % {size}",
    }[mode]


def _torch(problem: Problem) -> Iterator[str]:
    yield "# the same by torch; whole numbers are exact in float64"
    yield "import torch"
    yield ""
    yield f"module = torch.nn.{problem.text[:-1]}, dtype=torch.float64)"
    yield "with torch.no_grad():"
    yield f"{INDENT}module.weight.copy_(torch.tensor(weight))"
    if problem.bias:
        yield f"{INDENT}module.bias.copy_(torch.tensor(bias))"
    yield f"{INDENT}by_torch = module(torch.tensor([x], dtype=torch.float64))[0].long().tolist()"
    yield "for channel in y:"
    if problem.num_axes == 2:
        yield f"{INDENT}for row in channel:"
        yield f"{INDENT * 2}print(*row)"
    else:
        yield f"{INDENT}print(*channel)"
    yield 'print("loops and torch agree:", y == by_torch)'
