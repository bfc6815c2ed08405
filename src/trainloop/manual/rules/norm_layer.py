"""Normalization within one image: layer norm and group norm.

The formulas are those of ``norm.py``, with other axes for the expectations and no running statistics. Layer norm takes them
over the last axes, whose sizes are ``normalized_shape``, with one weight and bias per element of these; group norm over the
channels of a group and all spatial axes, with one weight and bias per channel.

Legend: N batch, C channels, G groups.

Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450; Wu & He 2018, arXiv:1803.08494.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.rules.norm import Grads, normalization_vjp, refuse_single_value, statistics


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


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Saved]:
    """y = weight · x̂ + bias, x̂ over the channels of a group; saves x, its mean and 1 / √(var + eps), and the weight."""
    refuse_groups(input, num_groups)
    grouped = _grouped(input, num_groups)
    mean, _var, invstd = statistics(grouped, (2,), eps)
    shape = (-1, *(1 for _axis in input.shape[2:]))
    output = ((grouped - mean) * invstd).view(input.shape)
    output = output if weight is None else output * weight.view(shape)
    return output if bias is None else output + bias.view(shape), (input, weight, mean, invstd)


def group_norm_vjp(
    grad_output: Tensor, input: Tensor, weight: Tensor | None, mean: Tensor, invstd: Tensor, *, needs: Needs
) -> Grads:
    """Return the three gradients; those of weight and bias are summed over all but the channels."""
    num_groups, others = mean.shape[1], (0, *range(2, input.dim()))
    normalized = (_grouped(input, num_groups) - mean) * invstd
    h = grad_output if weight is None else grad_output * weight.view(-1, *(1 for _axis in input.shape[2:]))
    grad_input = normalization_vjp(_grouped(h, num_groups), normalized, invstd, (2,)) if needs[0] else None
    return (
        None if grad_input is None else grad_input.view(input.shape),
        (grad_output * normalized.view(input.shape)).sum(others) if needs[1] else None,
        grad_output.sum(others) if needs[2] else None,
    )


def group_norm_aten(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Saved]:
    """Return the same by the library's kernel; saves the same."""
    refuse_groups(input, num_groups)
    sizes = (input.shape[0], input.shape[1], math.prod(input.shape[2:]), num_groups)
    output, mean, invstd = torch.native_group_norm(input, weight, bias, *sizes, eps)
    return output, (input, mean, invstd, weight, sizes)


def group_norm_vjp_aten(
    grad_output: Tensor,
    input: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sizes: tuple[int, int, int, int],
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by the kernel's backward, those that are needed."""
    grads: Grads = torch.ops.aten.native_group_norm_backward.default(
        grad_output, input, mean, invstd, weight, *sizes, needs
    )
    return grads


def refuse_groups(input: Tensor, num_groups: int) -> None:
    """Refuse groups that do not divide the channels, and to normalize one value by itself.

    Raises:
        RuntimeError: ``input`` has no channels, or ``num_groups`` does not divide them.
        ValueError: there is one value per group.
    """
    if input.dim() < 2:
        raise RuntimeError(
            f"group_norm expects an input (N, C, …) of at least 2 axes, but got shape {tuple(input.shape)}"
        )
    num, num_channels, *sizes = input.shape
    if num_groups < 1 or num_channels % num_groups:
        raise RuntimeError(
            f"num_groups (={num_groups}) must divide the channels of input, of shape {tuple(input.shape)}"
        )
    refuse_single_value((num * num_channels // num_groups, num_groups, *sizes))


def _grouped(input: Tensor, num_groups: int) -> Tensor:
    """(N, C, …) → (N, G, values of a group)."""
    return input.reshape(input.shape[0], num_groups, math.prod(input.shape[1:]) // num_groups)


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
    "group_norm": Rule(
        "group_norm",
        functions=(F.group_norm,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(group_norm, group_norm_vjp),
            "aten": Form(group_norm_aten, group_norm_vjp_aten, exact=True),
        },
        examples=(
            call(T(2, 6, 4, 5), 3, T(6), T(6)),
            call(T(2, 6, 4, 5), 1, T(6), eps=0.1),
            call(T(2, 4, 5), 4),
            call(T(3, 8), 2, T(8), T(8)),
            call(T(2, 4, 2, 3, 4), num_groups=2, weight=T(4), bias=T(4)),
            call(T(2, 6, 4, 5, constant=True), 3, T(6), T(6)),
            call(T(0, 6, 4, 5), 3, T(6), T(6)),
        ),
    ),
}
