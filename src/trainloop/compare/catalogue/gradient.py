"""Known deviations of the backward: mistakes in the vjp of one kind of operation, and in what is done with all gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainloop.compare.catalogue.rules import Grads, rule_deviation, run_forward, run_vjp
from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Key
from trainloop.manual import Form
from trainloop.manual.conv import im2col
from trainloop.manual.rule import FORMULA, Needs
from trainloop.manual.rules.norm import batch_norm_vjp

CONV = ("conv1d", "conv2d", "conv3d")
RELU = ("relu",)
DROPOUT = ("dropout", "native_dropout")
AVERAGES = ("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean")
MAXIMA = ("max_pool1d", "max_pool2d", "adaptive_max_pool2d")
BIASED = (*CONV, "linear")


# All gradients at once


def _every(change: Callable[[Scene, str, Tensor], Tensor | None]) -> Callable[[Scene], Predicted | None]:
    """Return what changes each gradient by itself; None of every one where the change cannot be made."""

    def predict(scene: Scene) -> Predicted | None:
        found: dict[Key, Tensor | None] = {}
        for key, grad in scene.reference.items():
            changed = None if grad is None else change(scene, key.name, grad)
            if changed is not None:
                found[key] = changed
        return found or None

    return predict


def _times(factor: Callable[[Scene], float]) -> Callable[[Scene], Predicted | None]:
    def change(scene: Scene, _name: str, grad: Tensor) -> Tensor | None:
        scale = factor(scene)
        return None if scale == 1 else grad * scale

    return _every(change)


def _num_images(scene: Scene) -> float:
    return float(len(scene.differing.record.batch.y))


def _parts(scene: Scene) -> float:
    return float(scene.differing.record.parts)


def _added_to_old(scene: Scene, name: str, grad: Tensor) -> Tensor | None:
    old = scene.differing.record.before.grads.get(name)
    return None if old is None else grad + old.double()


def _old(scene: Scene, name: str, grad: Tensor) -> Tensor | None:
    del grad
    old = scene.differing.record.before.grads.get(name)
    return None if old is None else old.double()


def _aliased(scene: Scene, name: str, grad: Tensor) -> Tensor | None:
    """Return the gradient of the next parameter of the same shape."""
    alike = [
        (key.name, other) for key, other in scene.reference.items() if other is not None and other.shape == grad.shape
    ]
    names = [other for other, _ in alike]
    return alike[(names.index(name) + 1) % len(alike)][1] if len(alike) > 1 else None


# Convolution


def _conv(change: Callable[[Form, Tensor, tuple[Any, ...], Needs, Grads], Grads]) -> Any:
    def vjp(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
        return change(form, grad_output, saved, needs, run_vjp(form, grad_output, saved, needs))

    return vjp


def _with_weight(turn: Callable[[Tensor], Tensor | None]) -> Any:
    """Compute grad_input with a weight that was turned; leave the other two as they are."""

    def change(form: Form, grad: Tensor, saved: tuple[Any, ...], needs: Needs, right: Grads) -> Grads:
        turned = turn(saved[1])
        if turned is None:
            return right
        wrong = run_vjp(form, grad, (saved[0], turned.contiguous(), *saved[2:]), needs)
        return wrong[0], *right[1:]

    return _conv(change)


def _flipped(weight: Tensor) -> Tensor:
    return weight.flip(tuple(range(2, weight.dim())))


def _rows_for_columns(weight: Tensor) -> Tensor | None:
    return weight.transpose(-1, -2) if weight.dim() == 4 and weight.shape[-1] == weight.shape[-2] else None


def _channels_exchanged(weight: Tensor) -> Tensor | None:
    return weight.transpose(0, 1) if weight.shape[0] == weight.shape[1] else None


def _grad_weight_without_padding(place: str) -> Any:
    """Compute grad_weight as if there were no padding: fewer windows fit, taken from the start or from the middle."""

    def change(_form: Form, grad: Tensor, saved: tuple[Any, ...], _needs: Needs, right: Grads) -> Grads:
        input, weight, geometry = saved[0], saved[1], saved[5]
        if input is None or right[1] is None or not any(geometry.padding) or input.dim() != weight.dim():
            return right
        bare = geometry._replace(padding=(0,) * len(geometry.padding))
        sizes = [
            (x - d * (k - 1) - 1) // s + 1
            for x, k, s, d in zip(input.shape[2:], weight.shape[2:], geometry.stride, geometry.dilation, strict=True)
        ]
        if any(size < 1 for size in sizes):
            return right
        for axis, size in enumerate(sizes, 2):
            start = 0 if place == "start" else (grad.shape[axis] - size) // 2
            grad = grad.narrow(axis, start, size)
        return right[0], im2col.grad_weight(grad, input, tuple(weight.shape), *bare), *right[2:]

    return _conv(change)


def _grad_weight_flipped(_form: Form, _grad: Tensor, _saved: tuple[Any, ...], _needs: Needs, right: Grads) -> Grads:
    return right[0], None if right[1] is None else _flipped(right[1]), *right[2:]


def _bias_times(factor: Callable[[Tensor], float]) -> Any:
    """Scale the gradient of the bias, the last of three."""

    def vjp(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
        first, second, bias = run_vjp(form, grad_output, saved, needs)
        if bias is None:
            return first, second, bias
        # A linear layer may hand on the whole grad_output and let the tape sum it.
        return first, second, bias * factor(grad_output)

    return vjp


def _values_a_channel(grad_output: Tensor) -> float:
    return 1 / (grad_output.numel() / grad_output.shape[1])


# Batch norm


def _batch_norm(keep_mean: bool, keep_variance: bool) -> Any:
    """Leave out what x does by way of the mean, or by way of the variance."""

    def vjp(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
        right: Grads = run_vjp(form, grad_output, saved, needs)
        input, weight, mean, invstd, training = saved
        if not training or input is None or not needs[0]:
            return right
        axes = (0, *range(2, grad_output.dim()))
        h = grad_output if weight is None else grad_output * weight.view(mean.shape)
        normalized = (input - mean) * invstd
        rest = h
        if keep_mean:
            rest = rest - h.mean(axes, keepdim=True)
        if keep_variance:
            rest = rest - normalized * (h * normalized).mean(axes, keepdim=True)
        return invstd * rest, *right[1:]

    return vjp


def _batch_norm_unbiased(_form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
    input, weight, mean, invstd, training = saved
    count = grad_output.numel() / grad_output.shape[1]
    return batch_norm_vjp(
        grad_output, input, weight, mean, invstd * ((count - 1) / count) ** 0.5, training, needs=needs
    )


def _batch_norm_without_weight(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
    wrong = run_vjp(form, grad_output, (saved[0], None, *saved[2:]), needs)
    return wrong[0], *run_vjp(form, grad_output, saved, needs)[1:]


# Relu, dropout, pooling, linear, cross entropy


def _relu_with_mask(form: Form, args: tuple[Any, ...], kwargs: dict[str, Any], needs: Needs) -> Any:
    mask = args[0] >= 0  # before the output may overwrite the input
    return run_forward(form, args, kwargs, needs)[0], (mask,)


def _masked(_form: Form, grad_output: Tensor, saved: tuple[Any, ...], _needs: Needs) -> Tensor:
    mask: Tensor = saved[0]
    return grad_output * mask


def _passes(_form: Form, grad_output: Tensor, _saved: tuple[Any, ...], _needs: Needs) -> Tensor:
    return grad_output


def _dropout_without_scale(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Tensor:
    right: Tensor = run_vjp(form, grad_output, saved, needs)
    return torch.where(right == 0, right, grad_output) if saved else right


def _average_without_division(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Tensor:
    right: Tensor = run_vjp(form, grad_output, saved, needs)
    return right * (right.numel() / grad_output.numel())


def _all_maxima(form: Form, args: tuple[Any, ...], kwargs: dict[str, Any], needs: Needs) -> Any:
    output, saved = run_forward(form, args, kwargs, needs)
    return output, (*saved, args[0], output[0])


def _to_all_maxima(form: Form, grads: Any, saved: tuple[Any, ...], needs: Needs) -> Tensor:
    """Give every element that equals the maximum of its window all of the gradient; windows that do not overlap."""
    *own, input, output = saved
    right: Tensor = run_vjp(form, grads, tuple(own), needs)
    factors = [x // y for x, y in zip(input.shape[2:], output.shape[2:], strict=True)]
    spread, back = output, grads[0]
    for axis, factor in enumerate(factors, 2):
        spread = spread.repeat_interleave(factor, axis)
        back = back.repeat_interleave(factor, axis)
    return torch.where(input == spread, back, 0) if spread.shape == input.shape else right


def _linear(index: int, change: Callable[[Tensor, Tensor], Tensor]) -> Any:
    def vjp(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Grads:
        grads = list(run_vjp(form, grad_output, saved, needs))
        if grads[index] is not None:
            grads[index] = change(grads[index], grad_output)
        return tuple(grads)

    return vjp


def _averaged_over_rows(grad: Tensor, grad_output: Tensor) -> Tensor:
    return grad / len(grad_output)


def _without_division(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Any:
    grads = run_vjp(form, grad_output, saved, needs)
    return tuple(None if grad is None else grad * len(saved[0]) for grad in grads)


def _only_labels(form: Form, grad_output: Tensor, saved: tuple[Any, ...], needs: Needs) -> Any:
    """−onehot without the softmax: the part of the gradient that the probabilities make is left out."""
    right = run_vjp(form, grad_output, saved, needs)
    return right[0] - saved[0].exp() * grad_output / len(saved[0]), *right[1:]


GRADIENT: tuple[Deviation, ...] = (
    deviation("gradient summed instead of averaged", "backward", _times(_num_images)),
    deviation("gradient averaged twice", "backward", _times(lambda scene: 1 / _num_images(scene))),
    deviation("gradient not divided by the number of parts", "backward", _times(_parts)),
    deviation("gradient divided by the number of parts once more", "backward", _times(lambda scene: 1 / _parts(scene))),
    deviation("gradient with the wrong sign", "backward", _times(lambda _: -1.0)),
    deviation("gradient twice as large", "backward", _times(lambda _: 2.0)),
    deviation("gradient not zeroed (added to that of the step before)", "backward", _every(_added_to_old)),
    deviation("stale gradient (that of the step before)", "backward", _every(_old)),
    deviation("aliased gradient (that of another parameter)", "backward", _every(_aliased)),
    rule_deviation("missing ReLU mask at 0", "backward", RELU, forward=_relu_with_mask, vjp=_masked),
    rule_deviation("missing ReLU mask", "backward", RELU, vjp=_passes),
    rule_deviation("kernel flipped in grad_input", "backward", CONV, vjp=_with_weight(_flipped)),
    rule_deviation(
        "kernel transposed in grad_input (rows for columns)", "backward", CONV, vjp=_with_weight(_rows_for_columns)
    ),
    rule_deviation("channels exchanged in grad_input", "backward", CONV, vjp=_with_weight(_channels_exchanged)),
    rule_deviation("padding lost in grad_weight", "backward", CONV, vjp=_grad_weight_without_padding("start")),
    rule_deviation("border lost in grad_weight", "backward", CONV, vjp=_grad_weight_without_padding("middle")),
    rule_deviation("kernel flipped in grad_weight", "backward", CONV, vjp=_conv(_grad_weight_flipped)),
    rule_deviation("gradient of a bias missing", "backward", BIASED, vjp=_bias_times(lambda _: 0.0)),
    rule_deviation("gradient of a convolution's bias averaged", "backward", CONV, vjp=_bias_times(_values_a_channel)),
    rule_deviation("gradient of a linear bias averaged", "backward", ("linear",), vjp=_linear(2, _averaged_over_rows)),
    rule_deviation(
        "gradient of a linear weight averaged", "backward", ("linear",), vjp=_linear(1, _averaged_over_rows)
    ),
    rule_deviation(
        "batch-norm statistics taken as constants",
        "backward",
        ("batch_norm",),
        vjp=_batch_norm(False, False),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm gradient without the mean's part",
        "backward",
        ("batch_norm",),
        vjp=_batch_norm(False, True),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm gradient without the variance's part",
        "backward",
        ("batch_norm",),
        vjp=_batch_norm(True, False),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm gradient with the unbiased variance",
        "backward",
        ("batch_norm",),
        vjp=_batch_norm_unbiased,
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm gradient without the weight", "backward", ("batch_norm",), vjp=_batch_norm_without_weight
    ),
    rule_deviation("dropout scale missing in the gradient", "backward", DROPOUT, vjp=_dropout_without_scale),
    rule_deviation("dropout mask missing in the gradient", "backward", DROPOUT, vjp=_passes),
    rule_deviation("gradient of an average not divided", "backward", AVERAGES, vjp=_average_without_division),
    rule_deviation(
        "max pool gives its gradient to every maximum", "backward", MAXIMA, forward=_all_maxima, vjp=_to_all_maxima
    ),
    rule_deviation(
        "cross entropy's gradient summed instead of averaged", "backward", ("cross_entropy",), vjp=_without_division
    ),
    rule_deviation("cross entropy's gradient without the softmax", "backward", ("cross_entropy",), vjp=_only_labels),
)
