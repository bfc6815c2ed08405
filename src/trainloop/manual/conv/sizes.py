"""The arithmetic of a convolution's sizes, and the one place that refuses shapes and numbers that do not fit together.

    P = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1

for each spatial axis of size H with padding p on both sides, dilation d, kernel size k and stride s. The fraction counts the
steps that the window can take before its last tap, d·(k − 1) elements after its first, leaves the padded input.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, relationship 6 and section 5.1.
"""

from __future__ import annotations

from torch import Tensor

from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes

AXES = ("D", "H", "W")
"""what messages call the spatial axes; a convolution of n axes has the last n"""
AT_LEAST = {"stride": 1, "padding": 0, "dilation": 1}
"""smallest value of each number of a geometry"""


def check_job(job: Job) -> None:
    """Refuse a convolution whose shapes and numbers do not fit together, with the arithmetic.

    Works for any number of spatial axes; that of ``job.geometry.stride`` counts.

    Args:
        job: any shapes and numbers.

    Raises:
        ConvShapeError: an input or a weight of another number of axes; a stride, dilation or groups below 1; a padding
            below 0; channels that groups does not divide, or that do not fit the weight; an axis of size 0 other than the
            batch; a kernel larger than the padded input.
    """
    check_geometry(job.geometry)
    check_axes(job.input_shape, job.weight_shape, len(job.geometry.stride))
    check_channels(job.input_shape, job.weight_shape, job.geometry.groups)
    check_reach(job.input_shape[2:], job.weight_shape[2:], job.geometry)


def check_geometry(geometry: Geometry) -> None:
    """Refuse numbers that are too small, not whole, or not one for each spatial axis.

    Args:
        geometry: any numbers.

    Raises:
        ConvShapeError: with the name of the number and its value.
    """
    num_axes = len(geometry.stride)
    for name, least in AT_LEAST.items():
        numbers: Sizes = getattr(geometry, name)
        if len(numbers) != num_axes:
            raise ConvShapeError(
                f"{name} (={numbers}) must be one number, or one for each of the {num_axes} spatial axes"
            )
        if not all(map(_is_whole, numbers)):
            raise ConvShapeError(f"{name} (={numbers}) must be a whole number along every spatial axis")
        if any(number < least for number in numbers):
            shown = numbers[0] if len(set(numbers)) == 1 else numbers
            raise ConvShapeError(f"{name} (={shown}) must be at least {least} along every spatial axis")
    if not _is_whole(geometry.groups):
        raise ConvShapeError(f"groups (={geometry.groups!r}) must be a whole number")
    if geometry.groups < 1:
        raise ConvShapeError(f"groups (={geometry.groups}) must be at least 1")


def _is_whole(number: object) -> bool:
    """Return whether Python takes it as an index: an int, one of another library, or one of make_fx's symbols for it."""
    return hasattr(number, "__index__")


def check_axes(
    input_shape: Sizes,
    weight_shape: Sizes,
    num_axes: int,
    weight_axes: str = "(out_channels, in_channels / groups, kernel_size…)",
) -> None:
    """Refuse an input or a weight of another number of axes, or without elements (an empty batch is none of these).

    Args:
        input_shape: expected (N, G·C, X…).
        weight_shape: expected (G·O, C, K…), or of a transposed convolution (G·C, O, K…).
        num_axes: number of spatial axes.
        weight_axes: what the message says the weight's axes are.

    Raises:
        ConvShapeError: with the shape.
    """
    letters = ", ".join(AXES[-num_axes:])
    for name, shape, expected in (
        ("input", input_shape, f"(N, C, {letters})"),
        ("weight", weight_shape, weight_axes),
    ):
        if len(shape) != num_axes + 2:
            raise ConvShapeError(
                f"{name} of shape {tuple(shape)} has {len(shape)} axes; a convolution of {num_axes} spatial axes expects "
                f"{num_axes + 2}, {expected}"
            )
        if any(size < 1 for size in shape[name == "input" :]):
            raise ConvShapeError(f"{name} of shape {tuple(shape)} has an axis of size 0; only the batch may be empty")


def check_channels(input_shape: Sizes, weight_shape: Sizes, groups: int) -> None:
    """Refuse channels that groups does not divide, or that do not fit the weight.

    Args:
        input_shape: (N, G·C, X…).
        weight_shape: (G·O, C, K…).
        groups: G.

    Raises:
        ConvShapeError: with the two numbers that disagree.
    """
    in_channels, out_channels = input_shape[1], weight_shape[0]
    check_divisible("in_channels", in_channels, groups)
    check_divisible("out_channels", out_channels, groups)
    if in_channels != weight_shape[1] * groups:
        raise ConvShapeError(
            f"input of {in_channels} channels does not fit weight of shape {tuple(weight_shape)} with groups (={groups}): "
            f"expected {weight_shape[1]}·{groups} = {weight_shape[1] * groups} channels"
        )


def check_divisible(name: str, channels: int, groups: int) -> None:
    """Refuse channels that groups does not divide.

    Args:
        name: in_channels or out_channels.
        channels: their number.
        groups: into how many parts.

    Raises:
        ConvShapeError: with the division that leaves a rest.
    """
    if channels % groups:
        raise ConvShapeError(
            f"{name} (={channels}) must be divisible by groups (={groups}): {channels} = "
            f"{channels // groups}·{groups} + {channels % groups}"
        )


def check_reach(sizes: Sizes, kernel_size: Sizes, geometry: Geometry) -> None:
    """Refuse a kernel that is larger than the padded input, which would leave an output of size zero or less.

    Args:
        sizes: X…
        kernel_size: K…
        geometry: of the windows.

    Raises:
        ConvShapeError: with the arithmetic of the first such axis.
    """
    numbers = zip(sizes, kernel_size, *geometry[:3], strict=True)
    for axis, (size, kernel, stride, padding, dilation) in zip(AXES[-len(sizes) :], numbers, strict=True):
        reach, padded = dilation * (kernel - 1) + 1, size + 2 * padding
        if reach > padded:
            equation = output_size_equation(axis, size, kernel, stride=stride, padding=padding, dilation=dilation)
            raise ConvShapeError(
                f"the kernel is larger than the padded input along {axis}: {equation}, expected at least 1; a kernel of "
                f"{kernel} with dilation {dilation} reaches over {reach} elements, and {size} + 2·{padding} = {padded} are "
                f"there: use a padding of at least {-((size - reach) // 2)}, or a smaller kernel or dilation"
            )


def check_tensors(input: Tensor, weight: Tensor, bias: Tensor | None, out_channels: int) -> None:
    """Refuse tensors of different types or devices, and a bias of another shape.

    Args:
        input: any shape.
        weight: any shape; expected in input's dtype, on its device.
        bias: expected (out_channels,), or None.
        out_channels: of the output, all groups together.

    Raises:
        ConvShapeError: with what is found and what is expected.
    """
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and (other.dtype, other.device) != (input.dtype, input.device):
            raise ConvShapeError(
                f"{name} is {other.dtype} on {other.device} and input is {input.dtype} on {input.device}; they must agree: "
                f"{name}.to(input) makes them"
            )
    if bias is not None and tuple(bias.shape) != (out_channels,):
        raise ConvShapeError(
            f"bias of shape {tuple(bias.shape)} does not fit {out_channels} output channels: expected ({out_channels},)"
        )


def output_size_equation(axis: str, size: int, kernel_size: int, *, stride: int, padding: int, dilation: int) -> str:
    """Return the arithmetic of an output size with its numbers put in, rounded down where the stride does not divide.

    For H = 3 and a kernel of 5: ``(H + 2·p − d·(k − 1) − 1) / s + 1 = (3 + 2·0 − 1·(5 − 1) − 1) / 1 + 1 = -1``.

    Args:
        axis: its letter, such as H.
        size: of the input along it.
        kernel_size: along it.
        stride: along it.
        padding: on both sides.
        dilation: along it.
    """
    steps = size + 2 * padding - dilation * (kernel_size - 1) - 1
    rounded = "" if steps % stride == 0 else ", rounded down,"
    return (
        f"({axis} + 2·p − d·(k − 1) − 1) / s + 1 = ({size} + 2·{padding} − {dilation}·({kernel_size} − 1) − 1) / {stride} + 1"
        f"{rounded} = {steps // stride + 1}"
    )
