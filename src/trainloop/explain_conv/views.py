"""The equal views: each computed by a function of this project, with its intermediate results.

Where a view's intermediate array would have very many numbers it is left out, and the view says so; the view itself is
computed all the same, up to ``MOST_INSERTED`` multiplications and a matrix of ``MOST_ENTRIES`` numbers that are not
structural zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.explain_conv.axis import Taps
from trainloop.explain_conv.explanation import View
from trainloop.explain_conv.problem import Problem
from trainloop.manual.conv import CONV_TRANSPOSE2D, conv2d
from trainloop.manual.conv.padding import pad_by_mode
from trainloop.manual.conv.transpose.zero_insert import insert_zeros, turned
from trainloop.manual.windows import Sizes, pad_spatial, scatter_windows, window_extent

LARGEST_ARRAY = 20_000
"""numbers of an intermediate array that is kept"""
MOST_ENTRIES = 2_000_000
"""of a matrix that is multiplied with, structural zeros not counted"""

MOST_INSERTED = 100_000_000
"""multiplications of the view with inserted zeros, which takes stride² times as many as the others"""


class ViewMaker:
    """Compute the views of one problem.

    Args:
        problem: what is explained.
        input: int64, shape (G·C, H, W).
        weight: int64, the problem's shape.
        taps: of H and of W.
        expected: torch's output before the bias, float64, shape (G·O, P, Q).
    """

    def __init__(
        self, problem: Problem, input: Tensor, weight: Tensor, taps: tuple[Taps, Taps], expected: Tensor
    ) -> None:
        self._problem, self._taps, self._expected = problem, taps, expected
        # Whole numbers are exact in float64, whichever way they are added; kernels want floating point.
        self._x, self._w = input.double().unsqueeze(0), weight.double()

    def all(self) -> tuple[View, ...]:
        """Return every view of this kind of convolution, the one that the others are to equal first."""
        if self._problem.transposed:
            return (self._scatter(), self._zero_insert(), self._matrix())
        return (self._gather(), self._matrix())

    def _scatter(self) -> View:
        problem, x, w = self._problem, self._x, self._w
        channels, outputs, *_ = w.shape
        by_group = w.view(problem.groups, -1, *w.shape[1:])
        grouped = x[0].view(problem.groups, channels // problem.groups, -1)
        # (K, L, 1, G·O, H, W): what each tap adds where.
        per_tap = torch.einsum("gci,gcokl->klgoi", grouped, by_group)
        columns = per_tap.reshape(*problem.kernel_size, 1, problem.groups * outputs, *problem.input_sizes)
        full = _uncropped(problem)
        arrays = {"uncropped": scatter_windows(columns, full, problem.stride, problem.dilation)[0]}
        stamps = (channels, *problem.input_sizes, outputs, *problem.kernel_size)
        if math.prod(stamps) <= LARGEST_ARRAY:
            arrays["stamps"] = torch.einsum("chw,cokl->chwokl", x[0], w)
        output = CONV_TRANSPOSE2D["scatter"].forward(x, w, None, *problem.patches)[0]
        return self._view("scatter", 'CONV_TRANSPOSE2D["scatter"]', arrays, {"stamps": stamps}, output, problem.padding)

    def _zero_insert(self) -> View:
        problem = self._problem
        margins = [reach - 1 for reach in window_extent(problem.kernel_size, problem.dilation)]
        edges = tuple(
            (margin - pad, margin - pad + more)
            for margin, pad, more in zip(margins, problem.padding, problem.output_padding, strict=True)
        )
        arrays = {
            "spread": insert_zeros(self._x, problem.stride, edges)[0],
            "turned": turned(self._w, problem.groups),
        }
        output = None
        if math.prod(self._w.shape) * math.prod(problem.output_sizes) <= MOST_INSERTED:
            output = CONV_TRANSPOSE2D["zero_insert"].forward(self._x, self._w, None, *problem.patches)[0]
        offset = tuple(before for before, _ in edges)
        return self._view("zero_insert", 'CONV_TRANSPOSE2D["zero_insert"]', arrays, {}, output, offset)

    def _gather(self) -> View:
        problem = self._problem
        word = problem.padding_word or problem.padding
        padded, windows = pad_by_mode(self._x, self._w, problem.windows, word, problem.padding_mode)
        output = conv2d(
            *(self._x, self._w, None, problem.stride, word, problem.dilation, problem.groups),
            padding_mode=problem.padding_mode,
            algorithm="im2col",
        )[0]
        arrays = {"padded": pad_spatial(padded, windows.padding)[0]}
        return self._view("gather", 'CONV2D["im2col"]', arrays, {}, output, problem.padding)

    def _matrix(self) -> View:
        """Multiply by the matrix, of which only the entries are made that are not structural zeros."""
        problem = self._problem
        entries = Entries(problem, self._taps)
        pairs = self._w.shape[0] * self._w.shape[1]
        rows, columns = entries.shape
        output = None
        if pairs * entries.num <= MOST_ENTRIES:
            output = entries.multiply(self._x[0], self._w)
        arrays = {}
        if rows * columns <= LARGEST_ARRAY:
            arrays["matrix"] = entries.dense(self._w)
        made_by = "explain_conv.views.Entries"
        return self._view("matrix", made_by, arrays, {"matrix": (rows, columns)}, output, entries=pairs * entries.num)

    def _view(
        self,
        name: str,
        kernel: str,
        arrays: dict[str, Tensor],
        shapes: dict[str, Sizes],
        output: Tensor | None,
        offset: Sizes = (0, 0),
        *,
        entries: int = 0,
    ) -> View:
        return View(
            name=name,
            kernel=kernel,
            arrays={key: array.long() for key, array in arrays.items()},
            left_out={key: shape for key, shape in shapes.items() if key not in arrays},
            offset=(offset[0], offset[1]),
            entries=entries,
            output=None if output is None else output.long(),
            same=None if output is None else torch.equal(output, self._expected),
        )


class Entries:
    """The matrix of a problem for one pair of channels, as the list of its entries.

    Entry i says: output ``outputs[i]`` takes input ``inputs[i]`` times the weight of tap ``taps[i]``, all three counted row by
    row. Of a transposed convolution it is the transpose of the convolution's matrix.

    Args:
        problem: what is explained.
        taps: of H and of W.
    """

    def __init__(self, problem: Problem, taps: tuple[Taps, Taps]) -> None:
        self._problem = problem
        triples = [
            torch.tensor(
                [(p, tap.tap, tap.source) for p, row in enumerate(axis) for tap in row if tap.source is not None],
                dtype=torch.int64,
            ).view(-1, 3)
            for axis in taps
        ]
        down, across = triples
        extents = (problem.output_sizes[1], problem.kernel_size[1], problem.input_sizes[1])
        joined = down[:, None, :] * torch.tensor(extents) + across[None, :, :]
        self.outputs, self.taps, self.inputs = joined.reshape(-1, 3).unbind(1)

    @property
    def num(self) -> int:
        """How many entries a pair of channels has."""
        return len(self.outputs)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the convolution's matrix of one group."""
        problem = self._problem
        first, second = problem.weight_shape[0] // problem.groups, problem.weight_shape[1]
        ends = (problem.input_sizes, problem.output_sizes)
        small, large = ends if problem.transposed else ends[::-1]
        return first * math.prod(small), second * math.prod(large)

    def multiply(self, x: Tensor, w: Tensor) -> Tensor:
        """Return the product with the input: shape (G·O, P, Q).

        Args:
            x: shape (G·C, H, W).
            w: the problem's weight.
        """
        problem = self._problem
        y = x.new_zeros(problem.out_channels, math.prod(problem.output_sizes))
        flat = x.flatten(1)
        for channel, output, kernel in _channel_pairs(problem, w):
            y[output].index_add_(0, self.outputs, kernel.flatten()[self.taps] * flat[channel][self.inputs])
        return y.view(problem.out_channels, *problem.output_sizes)

    def dense(self, w: Tensor) -> Tensor:
        """Return the convolution's matrix of the first group, zeros included."""
        problem = self._problem
        matrix = w.new_zeros(self.shape)
        inputs, outputs = math.prod(problem.input_sizes), math.prod(problem.output_sizes)
        per_group = problem.out_channels // problem.groups
        for channel, output, kernel in _channel_pairs(problem, w):
            if channel >= problem.in_channels // problem.groups or output >= per_group:
                continue
            i, o = channel * inputs + self.inputs, output * outputs + self.outputs
            # A border that repeats an element puts several weights in one place.
            matrix.index_put_((i, o) if problem.transposed else (o, i), kernel.flatten()[self.taps], accumulate=True)
        return matrix


def _channel_pairs(problem: Problem, w: Tensor) -> list[tuple[int, int, Tensor]]:
    """Return (input channel, output channel, kernel) for every pair that is connected; channels of all groups."""
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    pick: Callable[[int, int], Tensor] = (
        (lambda c, o: w[c, o % outputs]) if problem.transposed else (lambda c, o: w[o, c % inputs])
    )
    return [
        (c, o, pick(c, o))
        for group in range(problem.groups)
        for c in range(group * inputs, (group + 1) * inputs)
        for o in range(group * outputs, (group + 1) * outputs)
    ]


def _uncropped(problem: Problem) -> Sizes:
    """Return the size of what all stamps cover, and at the least of what the output is cut from."""
    reach = window_extent(problem.kernel_size, problem.dilation)
    numbers = zip(problem.input_sizes, problem.stride, reach, problem.output_padding, strict=True)
    return tuple((size - 1) * s + extent + more for size, s, extent, more in numbers)
