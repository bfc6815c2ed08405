"""Resizing images: ``F.interpolate``, and so ``nn.Upsample``.

Along each axis an element of y is a weighted sum of a few elements of x, its taps; the axes are independent of each other:

    y_i = Σ_t weight_t(i) · x[index_t(i)]        grad_x_j = Σ_t Σ_{i : index_t(i) = j} weight_t(i) · g_i

With s_i the position of i in x, scale · (i + ½) − ½, or scale · i where the corners are aligned:

    nearest         one tap: ⌊scale · i⌋               nearest-exact   one tap: ⌊scale · (i + ½)⌋
    linear          two taps: ⌊s⌋ and ⌊s⌋ + 1, weighted by how near they are
    cubic           four taps: ⌊s⌋ − 1 … ⌊s⌋ + 2, weighted by Keys' kernel with a = −¾
    area            the mean over a bin, which is adaptive average pooling

Taps beyond the border are those at the border. The formula form adds along one axis after the other, so it rounds a little
differently from the library's kernels, which take the axes at once. They differ once for another reason: where a scale factor
such as 1.1 leaves the size as it was, torch's bicubic forward resizes, but its backward passes g on as if it had copied.

Legend: x input, y output, g grad_output; X size of x along an axis, P of y.

Source: Keys 1981, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.errors import RefusedError
from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved
from trainloop.manual.rules.pool_adaptive import adaptive_avg_pool_vjp, is_mean, mean_vjp

Taps = list[tuple[Tensor, Tensor]]
"""(index, weight) of each tap, both of shape (P,)."""

Scales = tuple[float, ...] | None
KEYS_A = -0.75

KERNELS: dict[tuple[str, int], Callable[..., Any]] = {
    ("nearest", 1): torch.ops.aten.upsample_nearest1d_backward,
    ("nearest", 2): torch.ops.aten.upsample_nearest2d_backward,
    ("nearest", 3): torch.ops.aten.upsample_nearest3d_backward,
    ("nearest-exact", 1): torch.ops.aten._upsample_nearest_exact1d_backward,
    ("nearest-exact", 2): torch.ops.aten._upsample_nearest_exact2d_backward,
    ("nearest-exact", 3): torch.ops.aten._upsample_nearest_exact3d_backward,
    ("linear", 1): torch.ops.aten.upsample_linear1d_backward,
    ("bilinear", 2): torch.ops.aten.upsample_bilinear2d_backward,
    ("trilinear", 3): torch.ops.aten.upsample_trilinear3d_backward,
    ("bicubic", 2): torch.ops.aten.upsample_bicubic2d_backward,
}
"""(mode, number of axes) → the library's backward kernel."""


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> tuple[Tensor, Saved]:
    """y = x resized; saves the shape of x, the scale factors if they count, mode and align_corners.

    Raises:
        RefusedError: ``antialias`` is true.
    """
    if antialias:
        raise RefusedError(
            f"interpolate with mode={mode!r} and antialias=True has no rule; resize before the tape, or in the data pipeline"
        )
    output = F.interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor)
    factor: Any = None if recompute_scale_factor else scale_factor
    if isinstance(factor, (int, float)):
        factor = (factor,) * (input.dim() - 2)
    return output, (input.shape, factor, mode, bool(align_corners))


def interpolate_vjp(grad_output: Tensor, shape: torch.Size, scales: Scales, mode: str, align_corners: bool) -> Tensor:
    """grad_input = every g spread over the taps that made its y, one axis after the other."""
    num_axes = len(shape) - 2
    if mode == "area":
        return adaptive_avg_pool_vjp(num_axes, grad_output, shape)
    grad = grad_output
    for axis in range(2, len(shape)):
        factor = None if scales is None else scales[axis - 2]
        grad = spread(grad, axis, shape[axis], taps(grad, axis, shape[axis], factor, mode, align_corners))
    return grad


def spread(grad: Tensor, axis: int, size: int, taps: Taps) -> Tensor:
    """Return grad_x along one axis: Σ_t weight_t(i) · g_i added at index_t(i)."""
    total = grad.new_zeros((*grad.shape[:axis], size, *grad.shape[axis + 1 :]))
    for index, weight in taps:
        total.index_add_(axis, index, grad * weight.view(-1, *(1,) * (grad.dim() - axis - 1)))
    return total


def taps(grad: Tensor, axis: int, size: int, factor: float | None, mode: str, align_corners: bool) -> Taps:
    """Return the taps of every element of y along one axis; the arithmetic is the library's, in the dtype of g."""
    num = grad.shape[axis]
    place = torch.arange(num, dtype=grad.dtype, device=grad.device)
    if num == size and mode != "bicubic":
        return [(place.long(), torch.ones_like(place))]
    scale = size / num if factor is None else 1 / factor
    if mode in ("nearest", "nearest-exact"):
        return nearest_taps(place, scale, size, 0.0 if mode == "nearest" else 0.5)
    corner_scale = (size - 1) / max(num - 1, 1)
    position = place * corner_scale if align_corners else scale * (place + 0.5) - 0.5
    return cubic_taps(position, size) if mode == "bicubic" else linear_taps(position, size)


def nearest_taps(place: Tensor, scale: float, size: int, shift: float) -> Taps:
    """One tap, at ⌊scale · (i + shift)⌋; float32 decides, as in the library, whatever the dtype."""
    position = (place.float() + shift) * scale
    return [(position.long().clamp(max=size - 1), torch.ones_like(place))]


def linear_taps(position: Tensor, size: int) -> Taps:
    """Two taps, left and right of s, each weighted by 1 − its distance."""
    position = position.clamp(0, size - 1)
    left = position.floor()
    share = position - left
    return [(left.long(), 1 - share), ((left.long() + 1).clamp(max=size - 1), share)]


def cubic_taps(position: Tensor, size: int) -> Taps:
    """Four taps around s, weighted by Keys' kernel of their distance."""
    left = position.floor()
    share = position - left
    weights = (far(share + 1), near(share), near(1 - share), far(2 - share))
    return [((left.long() + t - 1).clamp(0, size - 1), weight) for t, weight in enumerate(weights)]


def near(d: Tensor) -> Tensor:
    """Keys' kernel at a distance d ≤ 1: (a + 2) d³ − (a + 3) d² + 1."""
    return ((KEYS_A + 2) * d - (KEYS_A + 3)) * d * d + 1


def far(d: Tensor) -> Tensor:
    """Keys' kernel at a distance 1 < d < 2: a d³ − 5a d² + 8a d − 4a."""
    return ((KEYS_A * d - 5 * KEYS_A) * d + 8 * KEYS_A) * d - 4 * KEYS_A


def interpolate_aten(input: Tensor, *args: Any, **keywords: Any) -> tuple[Tensor, Saved]:
    """The same; saves x as well where the library's kernel asks for it."""
    output, saved = interpolate(input, *args, **keywords)
    return output, (input if saved[2] == "area" else None, *saved)


def interpolate_vjp_aten(
    grad_output: Tensor, input: Tensor | None, shape: torch.Size, scales: Scales, mode: str, align_corners: bool
) -> Tensor:
    """The same by the library's kernels."""
    num_axes = len(shape) - 2
    if input is not None:
        return area_vjp_aten(grad_output, input, num_axes)
    corners = () if mode.startswith("nearest") else (align_corners,)
    kernel = KERNELS[mode, num_axes]
    grad_input: Tensor = kernel(grad_output, grad_output.shape[2:], shape, *corners, *(scales or (None,) * num_axes))
    return grad_input


def area_vjp_aten(grad_output: Tensor, input: Tensor, num_axes: int) -> Tensor:
    """The gradient of adaptive average pooling; a row is an image of height 1."""
    if num_axes == 1:
        return area_vjp_aten(grad_output.unsqueeze(-2), input.unsqueeze(-2), 2).squeeze(-2)
    if is_mean(grad_output, num_axes):
        return mean_vjp(grad_output, input.shape, num_axes)
    aten = torch.ops.aten
    kernel = aten._adaptive_avg_pool2d_backward if num_axes == 2 else aten._adaptive_avg_pool3d_backward
    grad_input: Tensor = kernel(grad_output, input)
    return grad_input


ROW, IMAGE, VOLUME = T(2, 2, 7), T(2, 2, 4, 5), T(1, 2, 3, 4, 2)
NEAREST = tuple(
    call(x, mode=mode, **how)
    for mode in ("nearest", "nearest-exact")
    for x, how in (
        (ROW, {"size": 4}),
        (IMAGE, {"size": (8, 5)}),
        (IMAGE, {"scale_factor": 2}),
        (IMAGE, {"scale_factor": (1.6, 0.7)}),
        (IMAGE, {"scale_factor": 1.3, "recompute_scale_factor": True}),
        (VOLUME, {"size": (5, 2, 3)}),
    )
)
LINEAR = tuple(
    call(x, mode=mode, align_corners=corners, **how)
    for corners in (False, True)
    for x, mode, how in (
        (ROW, "linear", {"size": 10}),
        (IMAGE, "bilinear", {"size": (8, 3)}),
        (IMAGE, "bilinear", {"scale_factor": (1.6, 0.7)}),
        (IMAGE, "bilinear", {"size": (1, 5)}),
        (VOLUME, "trilinear", {"scale_factor": 2}),
        (IMAGE, "bicubic", {"size": (8, 3)}),
        (IMAGE, "bicubic", {"scale_factor": (1.6, 1.1)}),
        (IMAGE, "bicubic", {"size": (4, 5)}),
    )
)
AREA = (
    call(ROW, size=3, mode="area"),
    call(IMAGE, size=(3, 2), mode="area"),
    call(IMAGE, size=1, mode="area"),
    call(VOLUME, scale_factor=0.5, mode="area"),
)

RESIZE: dict[str, Rule] = {
    "interpolate": Rule(
        "interpolate",
        functions=(F.interpolate,),
        forms={
            "formula": Form(interpolate, interpolate_vjp),
            "aten": Form(interpolate_aten, interpolate_vjp_aten, exact=True),
        },
        examples=(*NEAREST, *LINEAR, *AREA, call(IMAGE, 3), call(IMAGE, None, 1.5, "bilinear")),
    ),
}
