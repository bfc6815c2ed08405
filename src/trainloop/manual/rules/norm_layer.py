"""Normalization within one image: layer norm.

The formulas are those of ``norm.py``, with other axes for the expectations and no running statistics: layer norm takes
them over the last axes, whose sizes are ``normalized_shape``, and its weight and bias have one value per element of these.

Legend: M… the leading axes, D… the axes of ``normalized_shape``.

Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.rules.norm import Grads, normalization_vjp, statistics


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Saved]:
    """y = weight · x̂ + bias, x̂ over the last axes; saves x, its mean and 1 / √(var + eps), and the weight."""
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(f"normalized_shape (={shape}) must be the last axes of input, of shape {tuple(input.shape)}")
    mean, _var, invstd = statistics(input, tuple(range(-len(shape), 0)), eps)
    output = (input - mean) * invstd
    output = output if weight is None else output * weight
    return output if bias is None else output + bias, (input, weight, mean, invstd, len(shape))


def layer_norm_vjp(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
    num_axes: int,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients; those of weight and bias are summed over M…."""
    leading = tuple(range(grad_output.dim() - num_axes))
    normalized = (input - mean) * invstd
    h = grad_output if weight is None else grad_output * weight
    grad_input = normalization_vjp(h, normalized, invstd, tuple(range(-num_axes, 0))) if needs[0] else None
    grad_weight = _sum(grad_output * normalized, leading) if needs[1] else None
    return grad_input, grad_weight, _sum(grad_output, leading) if needs[2] else None


def layer_norm_aten(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel; saves what the formula saves, and the bias."""
    output, mean, invstd = torch.native_layer_norm(input, normalized_shape, weight, bias, eps)
    return output, (input, normalized_shape, mean, invstd, weight, bias)


def layer_norm_vjp_aten(
    grad_output: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by the kernel's backward, those that are needed."""
    grads: Grads = torch.ops.aten.native_layer_norm_backward.default(
        grad_output, input, normalized_shape, mean, invstd, weight, bias, needs
    )
    return grads


def _sum(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Sum over ``axes``, where torch takes no axes for all."""
    return tensor.sum(axes) if axes else tensor


NORM_LAYER: dict[str, Rule] = {
    "layer_norm": Rule(
        "layer_norm",
        functions=(F.layer_norm,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(layer_norm, layer_norm_vjp),
            "aten": Form(layer_norm_aten, layer_norm_vjp_aten, exact=True),
        },
        examples=(
            call(T(2, 5, 6), (6,), T(6), T(6)),
            call(T(2, 3, 4, 5), [4, 5], T(4, 5), T(4, 5), 0.1),
            call(T(2, 5, 6), (6,), eps=1e-6),
            call(T(2, 5, 6), (6,), T(6)),
            call(T(2, 5, 6, constant=True), (6,), T(6), T(6)),
            call(T(5), (5,), T(5), T(5)),
            call(T(0, 5), (5,), T(5), T(5)),
        ),
    ),
}
