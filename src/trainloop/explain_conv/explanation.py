"""A whole explanation: what is computed, and what every picture, page and text is drawn from.

Whatever draws it computes nothing. ``as_json`` writes it with the same names (a NamedTuple becomes a list in the order of its
fields, an array a list of lists); ``docs/explain-conv.md`` describes the keys.

Everything is a plane: a problem of one axis (Conv1d) has one row, ``axes[0]`` of size 1, and ``problem.num_axes`` 1. All
numbers are whole and exact.

Legend: G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from trainloop.explain_conv.axis import Reach, Taps
from trainloop.explain_conv.problem import Problem
from trainloop.manual.windows import Sizes

Array = Tensor
"""whole numbers, int64; its shape is said where it stands"""


@dataclass(frozen=True)
class Shared:
    """One of the sizes that a convolution with this stride maps to one and the same size.

    Args:
        size: of the convolution's input, which is the transposed convolution's output.
        output_padding: that picks it.
        chosen: this is the one.
    """

    size: int
    output_padding: int
    chosen: bool


@dataclass(frozen=True)
class Size:
    """The arithmetic of the output's size along one axis.

    Args:
        symbols: the formula, such as ``⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1``.
        numbers: the same with the numbers put in.
        steps: of a convolution, numerator and denominator of the fraction that is rounded down, such as (5, 2); else None.
        value: the size.
        never_read: input elements that no window reads (of a transposed convolution: whose stamps are wholly cut off).
        left_over: of a convolution, how many elements of the padded input lie behind the last window.
        shared: of a transposed convolution, the sizes that it could have meant; else empty.
        extra: of a transposed convolution, for each output that output_padding adds at the end how many taps write it along
            this axis; else empty.
    """

    symbols: str
    numbers: str
    steps: tuple[int, int] | None
    value: int
    never_read: tuple[int, ...]
    left_over: int
    shared: tuple[Shared, ...]
    extra: tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """One axis of the plane. The taps of the output (p, q) are all pairs of ``axes[0].taps[p]`` and ``axes[1].taps[q]``.

    Args:
        name: H or W.
        input_size: number of input elements.
        output_size: number of outputs.
        size: the arithmetic.
        taps: for each output its taps, (tap, at, source, kind) each, in the order of the kernel; see ``axis.py``.
        reach: for each input element what it goes into, (output, tap) each.
    """

    name: str
    input_size: int
    output_size: int
    size: Size
    taps: Taps
    reach: Reach


@dataclass(frozen=True)
class Term:
    """One product of the sum that makes an output.

    Args:
        channel: of the input.
        place: (row, column) on the input or spread input, as ``Tap.at``.
        source: (row, column) of the input element that is read; None where a zero is.
        tap: (row, column) in the kernel.
        kind: input, padding or inserted.
        value: what is read there.
        weight: what it is multiplied by.
    """

    channel: int
    place: tuple[int, int]
    source: tuple[int, int] | None
    tap: tuple[int, int]
    kind: str
    value: int
    weight: int

    @property
    def product(self) -> int:
        """Value times weight."""
        return self.value * self.weight


@dataclass(frozen=True)
class Cell:
    """One output, with all that goes into it.

    Args:
        channel: of the output.
        place: (p, q).
        terms: in the order of input channels and taps, those with a zero included.
        bias: that is added.
        value: of the output.
    """

    channel: int
    place: tuple[int, int]
    terms: tuple[Term, ...]
    bias: int
    value: int


@dataclass(frozen=True)
class Effect:
    """One output that an input pixel goes into.

    Args:
        channel: of the output.
        place: (p, q).
        tap: (row, column) in the kernel.
        weight: what the pixel is multiplied by.
    """

    channel: int
    place: tuple[int, int]
    tap: tuple[int, int]
    weight: int


@dataclass(frozen=True)
class Pixel:
    """One input pixel, with all that it goes into.

    Args:
        channel: of the input.
        place: (row, column).
        value: of the pixel.
        effects: in the order of output channels, rows, columns and taps.
    """

    channel: int
    place: tuple[int, int]
    value: int
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class View:
    """One way to see the whole operation, with its intermediate results.

    The arrays, by view and name. Of a transposed convolution:

    * scatter: ``stamps`` (G·C, H, W, O, K, L), each input element times the kernel; ``uncropped`` (G·O, …), all stamps added
      up, the stamp of (h, w) from (h·s, w·s) on, taps ``dilation`` apart;
    * zero_insert: ``spread`` (G·C, …), zeros between and around the elements; ``turned`` (G·O, C, K, L), the kernel that it is
      convolved with, stride 1;
    * matrix: ``matrix`` (C·H·W, O·P·Q) of the first group, of the convolution that this is the transpose of.

    Of a convolution:

    * gather: ``padded`` (G·C, …), the input with its border;
    * matrix: ``matrix`` (O·P·Q, C·H·W) of the first group.

    Args:
        name: scatter, zero_insert, gather or matrix.
        kernel: which function of this project computed it.
        arrays: by name; those of more than ``LARGEST_ARRAY`` numbers are left out.
        left_out: the shape of each array that was left out, by name.
        offset: where the output begins in the scatter's ``uncropped``, and where the first element lies in ``spread`` and
            ``padded``, for each axis; else zeros.
        entries: of a matrix, how many numbers of all groups are not structural zeros; else 0.
        output: (G·O, P, Q) before the bias; None where it was not computed.
        same: whether it equals torch's; None where it was not computed.
    """

    name: str
    kernel: str
    arrays: dict[str, Array]
    left_out: dict[str, Sizes]
    offset: tuple[int, int]
    entries: int
    output: Array | None
    same: bool | None


@dataclass(frozen=True)
class Phases:
    """How many taps meet an output far from the border, along one axis; the pattern repeats after ``stride`` outputs.

    Args:
        axis: H or W.
        stride: s.
        counts: for each of the s phases.
        even: all are equal.
        why: in one sentence, with the numbers.
    """

    axis: str
    stride: int
    counts: tuple[int, ...]
    even: bool
    why: str


@dataclass(frozen=True)
class Way:
    """Other parameters that avoid the pattern and keep the output's size.

    Args:
        text: the module.
        output_sizes: (P, Q).
        changed: what is different, by name: (before, after).
    """

    text: str
    output_sizes: tuple[int, int]
    changed: dict[str, tuple[Sizes, Sizes]]


@dataclass(frozen=True)
class Overlap:
    """How often each output of a transposed convolution is written; of a convolution, how often each input is read.

    Args:
        counts: (P, Q), of a convolution (H, W); of one pair of channels.
        phases: for each axis of the module.
        score: 1 − smallest / largest count far from the border: 0 for an even pattern, 1 where some are never written.
        ways: the nearest parameters without the pattern; empty where there is none to avoid.
    """

    counts: Array
    phases: tuple[Phases, ...]
    score: float
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Cost:
    """What it costs, for one image.

    Args:
        products: multiplications, those with padding (of a transposed convolution, those that are cropped off) included.
        useful: those that are neither.
        zero_insert_products: of a transposed convolution as a convolution of the spread input; else 0.
        weights: number of weights.
        biases: number of biases.
        columns: shape (rows, columns) of the im2col matrix of one group.
        columns_bytes: of all groups, in float32.
        input_bytes: in float32.
        output_bytes: in float32.
        kind: dense, grouped or depthwise.
        dense_products: what it would take without groups.
    """

    products: int
    useful: int
    zero_insert_products: int
    weights: int
    biases: int
    columns: tuple[int, int]
    columns_bytes: int
    input_bytes: int
    output_bytes: int
    kind: str
    dense_products: int


@dataclass(frozen=True)
class Check:
    """One comparison with torch, made in this run.

    Args:
        what: was compared.
        numbers: how many.
        same: all of them are equal.
    """

    what: str
    numbers: int
    same: bool


@dataclass(frozen=True)
class Explanation:
    """Everything about one problem.

    Args:
        problem: what is explained.
        text: the module as one writes it.
        num_axes: 1 or 2.
        output_sizes: (P, Q).
        input: (G·C, H, W).
        weight: (G·O, C, K, L), of a transposed convolution (G·C, O, K, L).
        bias: (G·O,), zeros where there is none.
        output: (G·O, P, Q), bias included.
        axes: H and W.
        cell: the chosen output.
        pixel: the chosen input pixel.
        views: the equal ways to see it.
        overlap: how often each output is written.
        cost: of one image.
        checks: against torch, all of them.
        torch_version: that was compared with.
    """

    problem: Problem
    text: str
    num_axes: int
    output_sizes: tuple[int, int]
    input: Array
    weight: Array
    bias: Array
    output: Array
    axes: tuple[Axis, Axis]
    cell: Cell
    pixel: Pixel
    views: tuple[View, ...]
    overlap: Overlap
    cost: Cost
    checks: tuple[Check, ...] = field(default=())
    torch_version: str = ""

    @property
    def same(self) -> bool:
        """Whether every comparison with torch found the same numbers."""
        return all(check.same for check in self.checks)
