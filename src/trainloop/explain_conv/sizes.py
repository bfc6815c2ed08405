"""The arithmetic of a size along one axis, told with its numbers."""

from __future__ import annotations

from trainloop.explain_conv.axis import INPUT, AxisNumbers, Reach, Taps
from trainloop.explain_conv.explanation import Shared, Size


def explain_size(axis: AxisNumbers, taps: Taps, reach: Reach) -> Size:
    """Return the arithmetic of the output's size.

    Args:
        axis: the numbers.
        taps: of each output.
        reach: where each input element goes.
    """
    never = tuple(index for index, touches in enumerate(reach) if not touches)
    return _transposed_size(axis, taps, never) if axis.transposed else _size(axis, never)


def _size(axis: AxisNumbers, never_read: tuple[int, ...]) -> Size:
    """P = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1; with unequal padding a + b in place of 2·p."""
    a, b, stride = axis.padding, axis.padding_after, axis.stride
    even = a == b
    symbols = f"⌊({axis.name} + {'2·p' if even else 'a + b'} − d·(k − 1) − 1) / s⌋ + 1"
    steps = axis.input_size + a + b - axis.extent
    padding = f"2·{a}" if even else f"{a} + {b}"
    put_in = f"({axis.input_size} + {padding} − {axis.dilation}·({axis.kernel_size} − 1) − 1)"
    numbers = f"⌊{put_in} / {stride}⌋ + 1 = ⌊{steps}/{stride}⌋ + 1 = {steps // stride} + 1 = {axis.output_size}"
    return Size(symbols, numbers, (steps, stride), axis.output_size, never_read, steps % stride, (), ())


def _transposed_size(axis: AxisNumbers, taps: Taps, never_read: tuple[int, ...]) -> Size:
    """P = (H − 1)·s − 2·p + d·(k − 1) + output_padding + 1."""
    symbols = f"({axis.name} − 1)·s − 2·p + d·(k − 1) + output_padding + 1"
    numbers = (
        f"({axis.input_size} − 1)·{axis.stride} − 2·{axis.padding} + {axis.dilation}·({axis.kernel_size} − 1) + "
        f"{axis.output_padding} + 1 = {axis.output_size}"
    )
    smallest = axis.output_size - axis.output_padding
    shared = tuple(
        Shared(smallest + more, more, more == axis.output_padding) for more in range(axis.stride) if smallest + more > 0
    )
    last = taps[max(0, axis.output_size - axis.output_padding) :] if axis.output_padding else ()
    extra = tuple(sum(tap.kind == INPUT for tap in row) for row in last)
    return Size(symbols, numbers, None, axis.output_size, never_read, 0, shared, extra)
