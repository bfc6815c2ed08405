"""Known deviations of a convolution's kernel, in its three directions: taps or borders left out, windows shifted, half types.

Those of the formula as a whole (a kernel flipped, a bias forgotten) stand in ``forward.py`` and ``gradient.py``. These here
are what goes wrong in loops over taps and tiles. They are made with the library's convolution: taps of the weight set to 0,
the border of a result set to 0, the input padded on one side, the operands converted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.compare.catalogue.calls import Backward, Call, Forward, Grads, right_backward, right_forward
from trainloop.compare.catalogue.scene import Deviation, call_deviation, deviation

EDGES: tuple[tuple[int, int], ...] = ((-1, -1), (-1, 0), (-2, -1), (-2, 0))
"""(axis, index) of the taps that a loop which ends early or begins late leaves out: columns, then rows"""
HALF_TYPES = (torch.bfloat16, torch.float16)


def _without_edge(weight: Tensor, axis: int, index: int) -> Tensor:
    """Return a weight, or its gradient, without the first or the last taps along an axis."""
    if weight.dim() + axis < 2 or weight.shape[axis] < 2:
        return weight
    weight = weight.clone()
    weight.select(axis, index).zero_()
    return weight


def _edge_forward(axis: int, index: int) -> Forward:
    def forward(call: Call) -> Tensor:
        return right_forward(call.but(weight=_without_edge(call["weight"], axis, index)))

    return forward


def _edge_backward(of: str, axis: int, index: int) -> Backward:
    """Leave taps out of the gradient of the input, or of that of the weight."""

    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        right = right_backward(call, output, grad_output)
        grad = right.get(of)
        if grad is None:
            return right
        if of == "weight":
            return {**right, of: _without_edge(grad, axis, index)}
        return {**right, of: call.but(weight=_without_edge(call["weight"], axis, index)).grads(grad_output)[of]}

    return backward


def _padding(call: Call) -> tuple[int, ...]:
    """Return the padding of each axis; of one that is given by a word, 0."""
    axes: int = call["weight"].dim() - 2
    padding = call["padding"]
    if isinstance(padding, str) or padding is None:
        return (0,) * axes
    pads: tuple[int, ...] = (padding,) if isinstance(padding, int) else tuple(padding)
    return pads * (axes // len(pads))


def _inside(call: Call) -> Tensor:
    """Return 1 where a window lies within the input and 0 where it meets padding, of the output's shape but for N."""
    ones = call.but(input=torch.ones_like(call.input[:1]), weight=torch.ones_like(call["weight"]), bias=None)
    taps: Tensor = ones.run()
    inside: Tensor = taps > call["weight"][0].numel() - 0.5
    return inside.to(call.input.dtype)


def _border_left_out(call: Call) -> Tensor:
    """Give nothing at all, not even a bias, for a window that meets padding."""
    return right_forward(call) * _inside(call)


def _border_is_bias(call: Call) -> Tensor:
    bare = right_forward(call.but(bias=None)) * _inside(call)
    return bare if call["bias"] is None else bare + call["bias"].view(-1, *[1] * (bare.dim() - 2))


def _end_left_out(axis: int) -> Forward:
    """Leave the last outputs along an axis at 0, as tiles do that do not reach the end."""

    def forward(call: Call) -> Tensor:
        output = right_forward(call).clone()
        if output.dim() + axis >= 2:
            output.select(axis, -1).zero_()
        return output

    return forward


def _border_of_input(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Leave the windows that meet padding out of the gradient of the input."""
    right = right_backward(call, output, grad_output)
    return {**right, "input": call.grads(grad_output * _inside(call))["input"]}


def _shifted(*, to_end: bool) -> Forward:
    """Put all padding on one side, so that every window lies too early or too late."""

    def forward(call: Call) -> Tensor:
        sides = [(0, 2 * pad) if to_end else (2 * pad, 0) for pad in reversed(_padding(call))]
        moved = F.pad(call.input, [side for pair in sides for side in pair])
        return right_forward(call.but(input=moved, padding=0) if any(_padding(call)) else call)

    return forward


def _halved(call: Call, dtype: torch.dtype) -> Call:
    tensors = {name: call[name] for name in ("input", "weight", "bias") if isinstance(call[name], Tensor)}
    return call.but(**{name: value.to(dtype) for name, value in tensors.items()})


def _half(dtype: torch.dtype) -> Forward:
    def forward(call: Call) -> Tensor:
        return right_forward(_halved(call, dtype)).to(call.input.dtype)

    return forward


def _rounded(dtype: torch.dtype) -> Forward:
    """Round the operands alone, as hardware does that multiplies half types and adds up in float32."""

    def forward(call: Call) -> Tensor:
        half, wide = _halved(call, dtype), call.input.dtype
        return right_forward(call.but(input=half.input.to(wide), weight=half["weight"].to(wide)))

    return forward


def _half_backward(dtype: torch.dtype, wanted: Sequence[str]) -> Backward:
    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        right = right_backward(call, output, grad_output)
        found = _halved(call, dtype).grads(grad_output.to(dtype))
        rounded = {name: grad.to(call.input.dtype) for name in wanted if (grad := found.get(name)) is not None}
        return {**right, **rounded}

    return backward


def _forward(name: str, *ways: Forward) -> Deviation:
    made = [call_deviation(name, "forward", "conv", forward=way) for way in ways]
    return deviation(name, "forward", *(way.predict[0] for way in made))


def _backward(name: str, *ways: Backward) -> Deviation:
    made = [call_deviation(name, "backward", "conv", backward=way) for way in ways]
    return deviation(name, "backward", *(way.predict[0] for way in made))


CONVOLUTION: tuple[Deviation, ...] = (
    _forward("taps at an edge of the kernel missing", *(_edge_forward(axis, index) for axis, index in EDGES)),
    _forward("border of a convolution left out (windows that meet padding)", _border_left_out, _border_is_bias),
    _forward("last outputs of a convolution missing (tiles that do not divide it)", *map(_end_left_out, (-1, -2))),
    _forward(
        "windows of a convolution shifted (all padding on one side)", _shifted(to_end=True), _shifted(to_end=False)
    ),
    _forward("convolution in half precision", *map(_half, HALF_TYPES), *map(_rounded, HALF_TYPES)),
    _backward(
        "taps at an edge of the kernel missing in grad_input",
        *(_edge_backward("input", axis, index) for axis, index in EDGES),
    ),
    _backward(
        "taps at an edge of the kernel missing in grad_weight",
        *(_edge_backward("weight", axis, index) for axis, index in EDGES),
    ),
    _backward("border left out in grad_input (windows that meet padding)", _border_of_input),
    _backward(
        "gradients of a convolution in half precision",
        *(
            _half_backward(dtype, wanted)
            for dtype in HALF_TYPES
            for wanted in (("input", "weight"), ("input",), ("weight",))
        ),
    ),
)
