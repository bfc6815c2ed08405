"""What each torch function makes of a receptive field.

A function that is not here is taken to mix the places of a plane, and said to be so; none is passed over in silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainloop.explain_conv.stack import field as arithmetic
from trainloop.explain_conv.stack.field import Field
from trainloop.manual.windows import Sizes, per_axis

CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
CONV_TRANSPOSE = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation")
AVG_POOL = ("input", "kernel_size", "stride", "padding")
INTERPOLATE = ("input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("conv1d", "conv2d"), CONV),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), CONV_TRANSPOSE),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), MAX_POOL),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), AVG_POOL),
}
"""function → its positional arguments"""
ADAPTIVE = ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d")
POINTWISE = {
    *("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid", "tanh", "leaky_relu", "elu"),
    *(
        "celu",
        "selu",
        "softplus",
        "mish",
        "prelu",
        "clamp",
        "clip",
        "neg",
        "abs",
        "exp",
        "log",
        "sqrt",
        "square",
        "pow",
    ),
    *("add", "sub", "rsub", "mul", "div", "maximum", "minimum", "lerp", "addcmul", "true_divide", "where"),
    *("batch_norm", "dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout", "linear", "layer_norm"),
    *("contiguous", "clone", "detach", "to", "float", "double", "half", "type_as", "requires_grad", "cat", "concat"),
    *("chunk", "split", "copy", "local_response_norm"),
}
"""functions that leave every place where it is (underscores at the ends of their names apart)"""
ENDS = ("flatten", "mean", "sum", "amax", "reshape", "view", "squeeze")
"""functions that make single numbers of a whole plane, where the plane is gone after them"""


@dataclass(frozen=True)
class Plane:
    """Which axes of a tensor are places of an image, and what they see.

    Args:
        dims: of the tensor.
        fields: one for each.
    """

    dims: tuple[int, ...]
    fields: tuple[Field, ...]


def plain_name(name: str) -> str:
    """Return ``add`` for ``torch.Tensor.add_`` and ``__getitem__`` as it is."""
    last = name.rpartition(".")[2]
    return last if last.startswith("__") else last.strip("_")


def windowed(name: str, plane: Plane, arguments: Mapping[str, Any], sizes: Sizes) -> tuple[Plane, str]:
    """Return the plane after a convolution or a pooling, and its numbers in words.

    Args:
        name: of the function.
        plane: before it.
        arguments: by name.
        sizes: of the plane after it.
    """
    num_axes = len(sizes)
    weight = arguments.get("weight")
    kernel = per_axis(arguments["kernel_size"], num_axes) if weight is None else tuple(weight.shape[2:])
    stride = per_axis(_given(arguments, "stride", kernel if weight is None else 1), num_axes)
    dilation = per_axis(_given(arguments, "dilation", 1), num_axes)
    padding = _padding(arguments.get("padding", 0), kernel, dilation)
    change = arithmetic.transposed if "transpose" in name else arithmetic.window
    numbers = zip(plane.fields, sizes, kernel, stride, padding, dilation, strict=True)
    fields = tuple(change(f, n, kernel=k, stride=s, padding=p, dilation=d) for f, n, k, s, p, d in numbers)
    words = [f"k{_joined(kernel)}"]
    words += [
        f"{letter}{_joined(pair)}"
        for letter, pair, default in (("s", stride, 1), ("p", padding, 0), ("d", dilation, 1))
        if set(pair) != {default}
    ]
    groups = arguments.get("groups", 1)
    return Plane(plane.dims, fields), " ".join([name, *words, *([f"g{groups}"] if groups != 1 else [])])


def _given(arguments: Mapping[str, Any], name: str, default: Any) -> Any:
    value = arguments.get(name)
    return default if value is None or value == [] else value


def _padding(padding: Any, kernel: Sizes, dilation: Sizes) -> Sizes:
    if padding == "same":
        return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return per_axis(0 if padding == "valid" else padding, len(kernel))


def _joined(numbers: Sizes) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else "x".join(map(str, numbers))


def padded(plane: Plane, amounts: tuple[int, ...], output: Tensor, mode: str) -> Plane:
    """Return the plane after ``F.pad``, whose amounts begin with the last axis.

    Args:
        plane: before it.
        amounts: (before, after) of the last axis, then of the one in front of it, and so on.
        output: of the function.
        mode: of the padding.
    """
    before = {output.dim() - 1 - place: amounts[2 * place] for place in range(len(amounts) // 2)}
    fields = tuple(
        arithmetic.cropped(field, output.shape[dim], start=-before.get(dim, 0), mode=mode)
        for dim, field in zip(plane.dims, plane.fields, strict=True)
    )
    return Plane(plane.dims, fields)


def indexed(plane: Plane, index: Any, input: Tensor, output: Tensor) -> Plane | None:
    """Return the plane after an index of slices; None for any other index.

    Args:
        plane: before it.
        index: as Python passes it.
        input: that is indexed.
        output: of the function.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (input.dim() - len(parts) + 1)
    if not all(isinstance(part, slice) for part in parts):
        return None
    fields = list(plane.fields)
    for number, dim in enumerate(plane.dims):
        start, _, step = (parts[dim] if dim < len(parts) else slice(None)).indices(input.shape[dim])
        fields[number] = arithmetic.cropped(fields[number], output.shape[dim], start=start, step=step)
    return Plane(plane.dims, tuple(fields))


def permuted(plane: Plane, order: tuple[int, ...]) -> Plane:
    """Return the plane after the axes of its tensor change places.

    Args:
        plane: before it.
        order: which axis comes where.
    """
    return Plane(tuple(order.index(dim) for dim in plane.dims), plane.fields)


def reshaped(plane: Plane, input: Tensor, output: Tensor) -> Plane | None:
    """Return the plane where a new shape leaves the last axes as they are, and these are the plane's; else None.

    Args:
        plane: before it.
        input: before it.
        output: after it.
    """
    count = len(plane.dims)
    last = tuple(range(input.dim() - count, input.dim()))
    if plane.dims != last or output.dim() < count + 1 or input.shape[-count:] != output.shape[-count:]:
        return None
    return Plane(tuple(range(output.dim() - count, output.dim())), plane.fields)


def resized(plane: Plane, output: Tensor, arguments: Mapping[str, Any]) -> Plane | None:
    """Return the plane after ``F.interpolate``; None where it resizes other axes than the plane's.

    Args:
        plane: before it.
        output: of the function.
        arguments: of the function, by name.
    """
    if plane.dims != tuple(range(2, output.dim())):
        return None
    fields = []
    for axis, field in enumerate(plane.fields):
        read, size = _read_by_resize(field.size, axis, output.dim() - 2, arguments), output.shape[axis + 2]
        fields.append(arithmetic.gathered(field, size, field.jump * field.size / size, read.__getitem__))
    return Plane(plane.dims, tuple(fields))


def _read_by_resize(size: int, axis: int, num_axes: int, arguments: Mapping[str, Any]) -> list[list[int]]:
    """Return which cells each cell after a resize reads, by resizing maps in which one cell alone is not zero."""
    others = {name: value for name, value in arguments.items() if name not in ("input", "size", "scale_factor")}
    for name, alone in (("size", 1), ("scale_factor", 1.0)):
        value = arguments.get(name)
        if value is not None:
            wanted = value[axis] if isinstance(value, (tuple, list)) else value
            others[name] = (wanted, alone)[:num_axes]
    maps = torch.eye(size).view(1, size, size, *[1] * (num_axes - 1))
    after = torch.nn.functional.interpolate(maps, **others).flatten(2)[0]
    return [column.nonzero().flatten().tolist() for column in after.T]


def join_planes(planes: list[Plane]) -> Plane | None:
    """Return the plane of cells that see what the cells of all these planes see; None where they do not fit."""
    fields: list[Field] = []
    for axis in zip(*(plane.fields for plane in planes), strict=True):
        total: Field | None = axis[0]
        for other in axis[1:]:
            total = None if total is None else arithmetic.joined(total, other)
        if total is None:
            return None
        fields.append(total)
    return Plane(planes[0].dims, tuple(fields))


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors in a value, in lists and tuples too."""
    if isinstance(value, Tensor):
        return [value]
    return list(itertools.chain.from_iterable(map(tensors_of, value))) if isinstance(value, (tuple, list)) else []


def named_arguments(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a convolution or pooling by name.

    Args:
        name: a key of ``ARGUMENTS``.
        args: positional ones.
        kwargs: the others.
    """
    return {**dict(zip(ARGUMENTS[name], args, strict=False)), **kwargs}
