"""From a problem to its explanation: everything is computed by this project, and compared with torch in the same run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from trainloop.explain_conv.axis import (
    INPUT,
    INSERTED,
    PADDING,
    AxisNumbers,
    Reach,
    Taps,
    all_reach,
    all_taps,
    axis_numbers,
)
from trainloop.explain_conv.cost import explain_cost
from trainloop.explain_conv.explanation import Array, Axis, Cell, Check, Effect, Explanation, Pixel, Term, View
from trainloop.explain_conv.limits import refuse_too_large
from trainloop.explain_conv.overlap import count_overlap, explain_overlap
from trainloop.explain_conv.problem import Problem
from trainloop.explain_conv.reference import torch_counts, torch_output
from trainloop.explain_conv.sizes import explain_size
from trainloop.explain_conv.values import bias_values, input_values, weight_values
from trainloop.explain_conv.views import ViewMaker

Place = tuple[int, int, int]
"""(channel, row, column)"""


def explain_conv(problem: Problem, cell: Place | None = None, pixel: Place | None = None) -> Explanation:
    """Explain a problem.

    Args:
        problem: that has been checked.
        cell: the output to take apart; None takes the one near the middle that most inputs go into.
        pixel: the input pixel to follow; None takes one that the cell reads.

    Raises:
        UsageError: it has more numbers than can be explained.
    """
    refuse_too_large(problem)
    values = Values(problem)
    axes = (axis_numbers(problem, 0), axis_numbers(problem, 1))
    taps = (all_taps(axes[0]), all_taps(axes[1]))
    reach = (all_reach(axes[0], taps[0]), all_reach(axes[1], taps[1]))
    expected = torch_output(problem, values.input, values.weight, values.bias)
    before_bias = expected - values.bias.view(-1, 1, 1)
    views = ViewMaker(problem, values.input, values.weight, taps, before_bias).all()
    first = views[0].output
    assert first is not None
    output = first + values.bias.view(-1, 1, 1)
    counts = count_overlap(taps, reach, transposed=problem.transposed)
    chosen = explain_cell(values, taps, output, cell or _middle_cell(taps))
    return Explanation(
        problem=problem,
        text=problem.text,
        num_axes=problem.num_axes,
        output_sizes=(axes[0].output_size, axes[1].output_size),
        input=values.input,
        weight=values.weight,
        bias=values.bias,
        output=output,
        axes=(_axis(axes[0], taps[0], reach[0]), _axis(axes[1], taps[1], reach[1])),
        cell=chosen,
        pixel=explain_pixel(values, reach, pixel or _read_pixel(problem, chosen)),
        views=views,
        overlap=explain_overlap(problem, axes, counts),
        cost=explain_cost(problem, taps),
        checks=tuple(_checks(values, taps, views, expected, counts)),
        torch_version=torch.__version__,
    )


class Values:
    """The numbers of a problem.

    Args:
        problem: whose.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.input = input_values(problem)
        self.weight = weight_values(problem)
        self.bias = bias_values(problem)

    def kernel(self, channel: int, output: int) -> Tensor:
        """Return the weights between an input channel and an output channel of its group, shape (K, L)."""
        return self.weight[self.problem.weight_index(channel, output)]


def explain_cell(values: Values, taps: tuple[Taps, Taps], output: Array, cell: Place) -> Cell:
    """Return one output with all that goes into it.

    Args:
        values: the numbers.
        taps: of H and of W.
        output: (G·O, P, Q).
        cell: (channel, p, q).
    """
    problem = values.problem
    channel, row, column = cell
    per_group = problem.in_channels // problem.groups
    group = channel // (problem.out_channels // problem.groups)
    terms = []
    for source_channel in range(group * per_group, (group + 1) * per_group):
        plane, kernel = values.input[source_channel].tolist(), values.kernel(source_channel, channel).tolist()
        for down, across in itertools.product(taps[0][row], taps[1][column]):
            source = None if down.source is None or across.source is None else (down.source, across.source)
            terms.append(
                Term(
                    channel=source_channel,
                    place=(down.at, across.at),
                    source=source,
                    tap=(down.tap, across.tap),
                    kind=_kind(down.kind, across.kind),
                    value=0 if source is None else plane[source[0]][source[1]],
                    weight=kernel[down.tap][across.tap],
                )
            )
    bias = int(values.bias[channel])
    return Cell(channel, (row, column), tuple(terms), bias, int(output[channel, row, column]))


def explain_pixel(values: Values, reach: tuple[Reach, Reach], pixel: Place) -> Pixel:
    """Return one input pixel with all that it goes into.

    Args:
        values: the numbers.
        reach: of H and of W.
        pixel: (channel, row, column).
    """
    problem = values.problem
    channel, row, column = pixel
    per_group = problem.out_channels // problem.groups
    group = channel // (problem.in_channels // problem.groups)
    effects = []
    for output in range(group * per_group, (group + 1) * per_group):
        kernel = values.kernel(channel, output).tolist()
        for down, across in itertools.product(reach[0][row], reach[1][column]):
            tap = (down.tap, across.tap)
            effects.append(Effect(output, (down.output, across.output), tap, kernel[tap[0]][tap[1]]))
    return Pixel(channel, (row, column), int(values.input[channel, row, column]), tuple(effects))


def _kind(down: str, across: str) -> str:
    """Return where a tap of the plane falls: outside, if it is outside along either axis; else on a zero, if along either."""
    return next((kind for kind in (PADDING, INSERTED) if kind in (down, across)), INPUT)


def _axis(numbers: AxisNumbers, taps: Taps, reach: Reach) -> Axis:
    size = explain_size(numbers, taps, reach)
    return Axis(numbers.name, numbers.input_size, numbers.output_size, size, taps, reach)


def _middle_cell(taps: tuple[Taps, Taps]) -> Place:
    """Return the output near the middle that most inputs go into."""
    return (0, _middle(taps[0]), _middle(taps[1]))


def _middle(axis: Taps) -> int:
    reads = [sum(tap.kind == INPUT for tap in row) for row in axis]
    return max(range(len(axis)), key=lambda p: (reads[p], -abs(p - (len(axis) - 1) / 2)))


def _read_pixel(problem: Problem, cell: Cell) -> Place:
    """Return a pixel in the middle of those that a cell reads; of a cell of padding alone, the middle of the input."""
    read = [term for term in cell.terms if term.source is not None]
    if not read:
        return (0, problem.input_sizes[0] // 2, problem.input_sizes[1] // 2)
    middle = read[len(read) // 2]
    assert middle.source is not None
    return (read[0].channel, *middle.source)


def _checks(
    values: Values, taps: tuple[Taps, Taps], views: tuple[View, ...], expected: Tensor, counts: Array
) -> Iterator[Check]:
    problem = values.problem
    for view in views:
        if view.output is not None:
            yield Check(view.name, view.output.numel(), bool(view.same))
    by_taps = sum_by_taps(values, taps)
    yield Check("tap lists", by_taps.numel(), torch.equal(by_taps, expected))
    yield Check("overlap counts", counts.numel(), torch.equal(counts, torch_counts(problem)))
    sizes = tuple(expected.shape[1:])
    yield Check("sizes", len(sizes), sizes == problem.output_sizes)


def sum_by_taps(values: Values, taps: tuple[Taps, Taps]) -> Tensor:
    """Return every output as the sum over its tap list, bias included: float64, shape (G·O, P, Q).

    Args:
        values: the numbers.
        taps: of H and of W.
    """
    problem = values.problem
    # Along W an element of zero behind the input is what a tap on a zero reads.
    width = problem.input_sizes[1]
    across = torch.tensor([[width if tap.source is None else tap.source for tap in row] for row in taps[1]])
    x = torch.nn.functional.pad(values.input.double(), (0, 1))
    weight = values.weight.double()
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    total = torch.zeros(problem.out_channels, *problem.output_sizes, dtype=torch.float64)
    for group in range(problem.groups):
        own = weight[group * weight.shape[0] // problem.groups : (group + 1) * weight.shape[0] // problem.groups]
        kernels = own.transpose(0, 1) if problem.transposed else own
        # Along W first: for every input row what each row of the kernel makes of it, then along H its rows added up.
        rows = torch.einsum("ockl,chql->okhq", kernels, x[group * inputs : (group + 1) * inputs][:, :, across])
        place = slice(group * outputs, (group + 1) * outputs)
        for tap in range(problem.kernel_size[0]):
            # Only outputs where the tap meets an input row: where the stride is wide they are few.
            met = [(p, row[tap].source) for p, row in enumerate(taps[0]) if row[tap].source is not None]
            outputs_met, sources = torch.tensor(met, dtype=torch.int64).view(-1, 2).unbind(1)
            total[place].index_add_(1, outputs_met, rows[:, tap, sources])
    return total.add_(values.bias.view(-1, 1, 1))
