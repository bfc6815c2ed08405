"""The arithmetic of a transposed convolution's sizes, and the one place that refuses what does not fit together.

    P = (H − 1)·s − 2·p + d·(k − 1) + output_padding + 1

turns the arithmetic of the convolution, H = ⌊(P + 2·p − d·(k − 1) − 1) / s⌋ + 1, around. The rounding down there maps s sizes P
to one H; output_padding chooses among them, and so is smaller than s. (torch allows it to be smaller than d instead; what is
added then reaches beyond the next window's first tap, and is still only zeros and overlaps.)

Source: Dumoulin & Visin 2016, arXiv:1603.07285, relationship 14.
"""

from __future__ import annotations

from trainloop.manual.conv.sizes import AXES, check_axes, check_divisible, check_geometry
from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob, transposed_sizes
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes

WEIGHT_AXES = "(in_channels, out_channels / groups, kernel_size…)"


def check_transposed_job(job: TransposedJob) -> None:
    """Refuse a transposed convolution whose shapes and numbers do not fit together, with the arithmetic.

    Works for any number of spatial axes; that of ``job.geometry.stride`` counts.

    Args:
        job: any shapes and numbers.

    Raises:
        ConvShapeError: an input or a weight of another number of axes; a stride, dilation or groups below 1; a padding or
            output_padding below 0; an output_padding that is smaller than neither stride nor dilation; channels that groups
            does not divide, or that do not fit the weight; an axis of size 0 other than the batch; an output of size zero
            or less.
    """
    check_geometry(job.geometry.of_convolution)
    check_axes(job.input_shape, job.weight_shape, len(job.geometry.stride), WEIGHT_AXES)
    check_transposed_channels(job.input_shape, job.weight_shape, job.geometry.groups)
    check_output_padding(job.geometry)
    check_left_over(job.input_shape[2:], job.weight_shape[2:], job.geometry)


def check_transposed_channels(input_shape: Sizes, weight_shape: Sizes, groups: int) -> None:
    """Refuse channels that groups does not divide, or that do not fit the weight.

    Args:
        input_shape: (N, G·C, X…).
        weight_shape: (G·C, O, K…).
        groups: G.

    Raises:
        ConvShapeError: with the two numbers that disagree.
    """
    in_channels = input_shape[1]
    check_divisible("in_channels", in_channels, groups)
    if in_channels != weight_shape[0]:
        raise ConvShapeError(
            f"input of {in_channels} channels does not fit weight of shape {tuple(weight_shape)}, whose first axis is "
            f"in_channels in a transposed convolution: expected {weight_shape[0]} channels"
        )


def check_output_padding(geometry: TransposedGeometry) -> None:
    """Refuse an output_padding below 0, or that is smaller than neither stride nor dilation.

    Args:
        geometry: of the patches.

    Raises:
        ConvShapeError: with the numbers of the first such axis.
    """
    stride, _, output_padding, _, dilation = geometry
    num_axes = len(stride)
    if len(output_padding) != num_axes:
        raise ConvShapeError(
            f"output_padding (={output_padding}) must be one number, or one for each of the {num_axes} spatial axes"
        )
    if any(more < 0 for more in output_padding):
        raise ConvShapeError(f"output_padding (={output_padding}) must be at least 0 along every spatial axis")
    for axis, more, step, spread in zip(AXES[-num_axes:], output_padding, stride, dilation, strict=True):
        if more >= max(step, spread):
            raise ConvShapeError(
                f"output_padding (={more}) must be smaller than stride (={step}) or dilation (={spread}) along {axis}: it "
                f"chooses among the {step} sizes that a convolution with this stride maps to one, which is 0 to {step - 1} "
                "more than the smallest; to get more, pad the output"
            )


def check_left_over(sizes: Sizes, kernel_size: Sizes, geometry: TransposedGeometry) -> None:
    """Refuse a padding that cuts off all of the output.

    Args:
        sizes: of the input, X…
        kernel_size: K…
        geometry: of the patches.

    Raises:
        ConvShapeError: with the arithmetic of the first such axis.
    """
    outputs = transposed_sizes(sizes, kernel_size, geometry)
    numbers = zip(sizes, kernel_size, outputs, *geometry[:3], geometry.dilation, strict=True)
    for axis, (size, kernel, output, stride, padding, more, dilation) in zip(AXES[-len(sizes) :], numbers, strict=True):
        if output < 1:
            equation = transposed_size_equation(
                axis, size, kernel, stride=stride, padding=padding, output_padding=more, dilation=dilation
            )
            raise ConvShapeError(
                f"the output would have size {output} along {axis}: {equation}, expected at least 1; padding cuts "
                f"{2 * padding} off {output + 2 * padding}: use a padding of at most {padding + (output - 1) // 2}"
            )


def transposed_size_equation(
    axis: str, size: int, kernel_size: int, *, stride: int, padding: int, output_padding: int, dilation: int
) -> str:
    """Return the arithmetic of an output size with its numbers put in.

    For H = 2 and a kernel of 3 with stride 2, padding 1 and output_padding 1:
    ``(H − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = (2 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 4``.

    Args:
        axis: its letter, such as H.
        size: of the input along it.
        kernel_size: along it.
        stride: along it.
        padding: on both sides.
        output_padding: at the end.
        dilation: along it.
    """
    output = (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1
    return (
        f"({axis} − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = ({size} − 1)·{stride} − 2·{padding} + "
        f"{dilation}·({kernel_size} − 1) + {output_padding} + 1 = {output}"
    )
