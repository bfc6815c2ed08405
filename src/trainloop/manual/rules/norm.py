"""Normalization over the batch: batch norm and instance norm, with their running statistics.

    mean = E[x],  var = E[(x − mean)²],  x̂ = (x − mean) / √(var + eps),  y = weight · x̂ + bias

Batch norm takes the expectations over N and all spatial axes, one per channel; instance norm over the spatial axes, one per
image and channel. While training, the running statistics follow by

    running_mean ← (1 − momentum) · running_mean + momentum · mean
    running_var  ← (1 − momentum) · running_var  + momentum · var · n / (n − 1)        n values per channel

so ``momentum`` is the weight of the new value, and the running variance, unlike the one that normalizes, is the unbiased
estimate. (``momentum=None``, the plain average of all batches, is turned into 1 / number of batches by the module.) In eval
mode the running statistics take the place of mean and var.

Gradient: with h = weight · grad_output and E over the same axes,

    grad_input = (h − E[h] − x̂ · E[h · x̂]) / √(var + eps)       training: mean and var depend on x too
    grad_input =  h / √(var + eps)                              eval mode
    grad_weight = Σ grad_output · x̂,   grad_bias = Σ grad_output

``aten`` calls what torch chooses for the device (its own kernel, cuDNN's, …), and that kernel's backward.

Legend: N batch, C channels, the dots any number of spatial axes.

Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1 and section 3; Ulyanov et al. 2016, arXiv:1607.08022.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.windows import Sizes

Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


def statistics(input: Tensor, axes: Sizes, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, biased variance and 1 / √(var + eps) of ``input`` over ``axes``, which stay as axes of size 1."""
    mean = input.mean(axes, keepdim=True)
    var = (input - mean).square().mean(axes, keepdim=True)
    return mean, var, (var + eps).rsqrt()


def normalization_vjp(h: Tensor, normalized: Tensor, invstd: Tensor, axes: Sizes) -> Tensor:
    """Return the gradient through x̂ = (x − E[x]) / √(var + eps): invstd · (h − E[h] − x̂ · E[h · x̂]).

    The second term is what x does by way of the mean, the third by way of the variance.

    Args:
        h: gradient of x̂, any shape.
        normalized: x̂, shape of ``h``.
        invstd: 1 / √(var + eps), of size 1 along ``axes``.
        axes: over which mean and variance were taken.
    """
    return invstd * (h - h.mean(axes, keepdim=True) - normalized * (h * normalized).mean(axes, keepdim=True))


def refuse_single_value(size: Sizes) -> None:
    """Refuse to normalize one value by itself.

    Raises:
        ValueError: a batch of ``size`` (N, C, …) has one value per channel.
    """
    if size[0] * math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(size)}")


def refuse_batch(size: Sizes, eps: float, training: bool) -> None:
    """Refuse to normalize one value by itself, and a division by √0.

    Raises:
        ValueError: a batch of ``size`` (N, C, …) has one value per channel, ``eps`` is negative, or 0 while training.
    """
    if training:
        refuse_single_value(size)
    if eps < 0 or (training and eps == 0):
        needed = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {needed}, but got {eps}")


# Batch norm, the formula


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Refuse what torch refuses, then :func:`normalize_channels`."""
    refuse_batch(input.shape, eps, training)
    return normalize_channels(input, running_mean, running_var, weight, bias, training, momentum, eps, needs=needs)


def normalize_channels(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """y = weight · x̂ + bias; saves the mean and 1 / √(var + eps) per channel, and x where x̂ will be needed."""
    shape = (1, -1, *(1 for _axis in input.shape[2:]))
    if training:
        mean, var, invstd = statistics(input, _all_but_channels(input), eps)
        update_running(running_mean, running_var, mean, var, momentum, input.numel() // mean.numel())
    else:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                f"batch_norm in eval mode needs running statistics, but got {running_mean}, {running_var}"
            )
        mean, invstd = running_mean.clone().view(shape), (running_var + eps).rsqrt().view(shape)
    output = (input - mean) * invstd
    output = output if weight is None else output * weight.view(shape)
    output = output if bias is None else output + bias.view(shape)
    return output, (input if training or needs[1] else None, weight, mean, invstd, training)


def batch_norm_vjp(
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
    training: bool,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients, as at the top of this file."""
    axes = _all_but_channels(grad_output)
    normalized = None if input is None else (input - mean) * invstd
    h = grad_output if weight is None else grad_output * weight.view(mean.shape)
    if training and normalized is not None:
        grad_input = normalization_vjp(h, normalized, invstd, axes) if needs[0] else None
    else:
        grad_input = h * invstd
    grad_weight = None if normalized is None or not needs[1] else (grad_output * normalized).sum(axes)
    return grad_input, grad_weight, grad_output.sum(axes) if needs[2] else None


def update_running(
    running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, var: Tensor, momentum: float, num_values: int
) -> None:
    """Let the running statistics follow the batch, as at the top of this file.

    Args:
        running_mean: shape (C,), changed in place; None if nobody keeps it.
        running_var: likewise.
        mean: of the batch, C values.
        var: of the batch, biased, C values.
        momentum: weight of the new value.
        num_values: how many values each of the C expectations was taken over; an empty batch changes nothing.
    """
    if num_values == 0:
        return
    if running_mean is not None:
        running_mean.copy_((1 - momentum) * running_mean + momentum * mean.flatten())
    if running_var is not None:
        unbiased = var.flatten() * (num_values / (num_values - 1))
        running_var.copy_((1 - momentum) * running_var + momentum * unbiased)


def _all_but_channels(input: Tensor) -> Sizes:
    return (0, *range(2, input.dim()))


# Batch norm, the library's kernel


def batch_norm_aten(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Saved]:
    """Refuse what torch refuses, then :func:`normalize_channels_aten`."""
    refuse_batch(input.shape, eps, training)
    return normalize_channels_aten(input, running_mean, running_var, weight, bias, training, momentum, eps)


def normalize_channels_aten(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Saved]:
    """Normalize by the kernel that torch chooses; saves x, the statistics, and which kernel it was."""
    output, mean, invstd, reserve, kernel = torch._batch_norm_impl_index(
        input, weight, bias, running_mean, running_var, training, momentum, eps, torch.backends.cudnn.enabled
    )
    running = (None, None) if training else (running_mean, running_var)
    return output, (input, weight, *running, mean, invstd, training, eps, reserve, kernel)


def batch_norm_vjp_aten(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
    training: bool,
    eps: float,
    reserve: Tensor,
    kernel: int,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients by the backward of the kernel that ran forward, those that are needed."""
    statistics = (running_mean, running_var, mean, invstd)
    grads: Grads = torch.ops.aten._batch_norm_impl_index_backward.default(
        kernel, input, grad_output, weight, *statistics, training, eps, needs, reserve
    )
    return grads


# Instance norm: each image and channel is a channel of one big image


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """y = weight · x̂ + bias; saves what :func:`normalize_channels` does, and the shape of x."""
    image, arguments = _one_image(input, (running_mean, running_var, weight, bias), use_input_stats)
    output, saved = normalize_channels(image, *arguments, use_input_stats, momentum, eps, needs=needs)
    _average_over_images((running_mean, running_var), arguments)
    return output.view(input.shape), (input.shape, *saved)


def instance_norm_vjp(grad_output: Tensor, shape: Sizes, *saved: Any, needs: Needs) -> Grads:
    """Return the three gradients; those of weight and bias are summed over the images."""
    return _per_image(batch_norm_vjp(grad_output.reshape(_as_one_image(shape)), *saved, needs=needs), shape)


def instance_norm_aten(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Saved]:
    """Return the same by the kernel of batch norm."""
    image, arguments = _one_image(input, (running_mean, running_var, weight, bias), use_input_stats)
    output, saved = normalize_channels_aten(image, *arguments, use_input_stats, momentum, eps)
    _average_over_images((running_mean, running_var), arguments)
    return output.view(input.shape), (input.shape, *saved)


def instance_norm_vjp_aten(grad_output: Tensor, shape: Sizes, *saved: Any, needs: Needs) -> Grads:
    """Return the same by the kernel's backward."""
    return _per_image(batch_norm_vjp_aten(grad_output.reshape(_as_one_image(shape)), *saved, needs=needs), shape)


Four = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def _as_one_image(shape: Sizes) -> Sizes:
    """(N, C, …) → (1, N·C, …)."""
    return (1, shape[0] * shape[1], *shape[2:])


def _one_image(input: Tensor, per_channel: Four, use_input_stats: bool) -> tuple[Tensor, Four]:
    """Return (N, C, …) as one image of N·C channels, and what has one value per channel once for each image.

    Raises:
        ValueError: there is one value per image and channel.
    """
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {tuple(input.shape)}")
    mean, var, weight, bias = (None if values is None else values.repeat(input.shape[0]) for values in per_channel)
    return input.contiguous().view(_as_one_image(input.shape)), (mean, var, weight, bias)


def _average_over_images(buffers: tuple[Tensor | None, Tensor | None], repeated: Four) -> None:
    """Give the running statistics the mean of what each image made of its copy of them."""
    for buffer, copies in zip(buffers, repeated[:2], strict=True):
        if buffer is not None and copies is not None:
            buffer.copy_(copies.view(-1, *buffer.shape).mean(0))


def _per_image(grads: Grads, shape: Sizes) -> Grads:
    """Return the gradients of what :func:`_one_image` was given."""
    grad_input, *per_channel = grads
    grad_weight, grad_bias = (None if grad is None else grad.view(shape[:2]).sum(0) for grad in per_channel)
    return None if grad_input is None else grad_input.view(shape), grad_weight, grad_bias


NORM: dict[str, Rule] = {
    "batch_norm": Rule(
        "batch_norm",
        functions=(F.batch_norm,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(batch_norm, batch_norm_vjp),
            "aten": Form(batch_norm_aten, batch_norm_vjp_aten, exact=True),
        },
        examples=(
            call(T(4, 3, 5, 6), T(3, constant=True), T(3, low=0.5, high=2, constant=True), T(3), T(3), training=True),
            call(T(4, 3, 5, 6), T(3, constant=True), T(3, low=0.5, high=2, constant=True), T(3), T(3)),
            call(T(4, 3, 5, 6), None, None, T(3), None, True, 0.3, 1e-3),
            call(T(4, 3, 5, 6), T(3, constant=True), T(3, low=0.5, high=2, constant=True), eps=0.1),
            call(T(7, 3), T(3, constant=True), T(3, low=0.5, high=2, constant=True), T(3), T(3), True, 1.0),
            call(T(2, 3, 5), None, None, T(3), T(3), training=True),
            call(T(2, 3, 2, 3, 4), None, None, T(3), T(3), training=True),
            call(T(4, 3, 5, 6, constant=True), None, None, T(3), T(3), training=True),
            call(T(4, 3, 5, 6), None, None, T(3, constant=True), T(3), training=True),
            call(T(0, 3, 5, 6), T(3, constant=True), T(3, constant=True), T(3), T(3), training=True),
        ),
    ),
    "instance_norm": Rule(
        "instance_norm",
        functions=(F.instance_norm,),
        wrt=("input", "weight", "bias"),
        forms={
            "formula": Form(instance_norm, instance_norm_vjp),
            "aten": Form(instance_norm_aten, instance_norm_vjp_aten, exact=True),
        },
        examples=(
            call(T(2, 3, 5, 6)),
            call(T(2, 3, 5, 6), None, None, T(3), T(3), eps=0.1),
            call(T(2, 3, 7), T(3, constant=True), T(3, low=0.5, high=2, constant=True), T(3), T(3)),
            call(T(2, 3, 7), T(3, constant=True), T(3, low=0.5, high=2, constant=True), T(3), T(3), False),
            call(T(2, 3, 2, 3, 4), weight=T(3)),
            call(T(2, 3, 5, 6, constant=True), None, None, T(3), T(3)),
        ),
    ),
}
