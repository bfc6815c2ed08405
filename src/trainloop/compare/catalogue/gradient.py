"""Known deviations of the backward: mistakes in the vjp of one kind of operation, and in what is done with all gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.compare.catalogue.calls import Backward, Call, Grads, Kind, right_backward
from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, call_deviation, deviation
from trainloop.compare.key import Key

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


def _with_weight(turn: Callable[[Tensor], Tensor | None]) -> Backward:
    """Compute the gradient of the input with a weight that was turned; leave the other two as they are."""

    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        right = right_backward(call, output, grad_output)
        turned = turn(call["weight"])
        if turned is None:
            return right
        return {**right, "input": call.but(weight=turned.contiguous()).grads(grad_output)["input"]}

    return backward


def flipped(weight: Tensor) -> Tensor:
    """Return a kernel turned by half a turn."""
    return weight.flip(tuple(range(2, weight.dim())))


def rows_for_columns(weight: Tensor) -> Tensor | None:
    """Return a square kernel mirrored at its diagonal."""
    return weight.transpose(-1, -2) if weight.dim() == 4 and weight.shape[-1] == weight.shape[-2] else None


def _channels_exchanged(weight: Tensor) -> Tensor | None:
    return weight.transpose(0, 1) if weight.shape[0] == weight.shape[1] else None


def _without_padding(*, from_start: bool) -> Backward:
    """Compute the gradient of the weight as if there were no padding: fewer windows fit, from the start or in the middle."""

    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        right = right_backward(call, output, grad_output)
        padding = call["padding"]
        if isinstance(padding, str) or not any((padding,) if isinstance(padding, int) else padding or ()):
            return right
        bare = call.but(padding=0)
        try:
            sizes = bare.run().shape[2:]
        except RuntimeError:
            return right
        for axis, size in enumerate(sizes, 2):
            start = 0 if from_start else (grad_output.shape[axis] - size) // 2
            grad_output = grad_output.narrow(axis, start, size)
        return {**right, "weight": bare.grads(grad_output)["weight"]}

    return backward


# Any operation


def _changed(name: str, change: Callable[[Tensor, Call, Tensor], Tensor]) -> Backward:
    """Change one of the right gradients."""

    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        grads = right_backward(call, output, grad_output)
        grad = grads.get(name)
        return grads if grad is None else {**grads, name: change(grad, call, grad_output)}

    return backward


def _flip_it(grad: Tensor, _call: Call, _grad_output: Tensor) -> Tensor:
    return flipped(grad)


def _nothing(grad: Tensor, _call: Call, _grad_output: Tensor) -> Tensor:
    return torch.zeros_like(grad)


def _averaged_over_positions(grad: Tensor, _call: Call, grad_output: Tensor) -> Tensor:
    return grad / (grad_output.numel() / grad_output.shape[1])


def _averaged_over_rows(grad: Tensor, _call: Call, grad_output: Tensor) -> Tensor:
    return grad / len(grad_output)


def _negated(grad: Tensor, _call: Call, _grad_output: Tensor) -> Tensor:
    return -grad


def _not_divided(grad: Tensor, _call: Call, grad_output: Tensor) -> Tensor:
    return grad * (grad.numel() / grad_output.numel())


def _passes(_grad: Tensor, _call: Call, grad_output: Tensor) -> Tensor:
    return grad_output


# Batch norm


def _batch_norm(*, mean: float, variance: float) -> Backward:
    """Weigh what x does by way of the mean, and by way of the variance: 1 is right, 0 leaves it out, −1 is the wrong sign."""

    def backward(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
        right = right_backward(call, output, grad_output)
        if not call["training"]:
            return right
        axes, normalized, invstd, h = _normalized(call, grad_output)
        rest = h - mean * h.mean(axes, keepdim=True) - variance * normalized * (h * normalized).mean(axes, keepdim=True)
        return {**right, "input": invstd * rest}

    return backward


def _normalized(call: Call, grad_output: Tensor) -> tuple[tuple[int, ...], Tensor, Tensor, Tensor]:
    """Return the axes of the statistics, x̂, 1 / √(var + eps) and weight · grad_output."""
    x, eps = call.input, 1e-5 if call["eps"] is None else call["eps"]
    axes = (0, *range(2, x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    invstd = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    h = grad_output if call["weight"] is None else grad_output * call["weight"].view(1, -1, *([1] * (x.dim() - 2)))
    return axes, centred * invstd, invstd, h


def _batch_norm_unbiased(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Use √(n / (n − 1) · var + eps) throughout, as if the forward had normalized with it."""
    right = right_backward(call, output, grad_output)
    if not call["training"]:
        return right
    axes, normalized, invstd, h = _normalized(call, grad_output)
    count = grad_output.numel() / grad_output.shape[1]
    shrink = ((count - 1) / count) ** 0.5
    normalized, invstd = normalized * shrink, invstd * shrink
    rest = h - h.mean(axes, keepdim=True) - normalized * (h * normalized).mean(axes, keepdim=True)
    weight = None if right.get("weight") is None else (grad_output * normalized).sum(axes)
    return {**right, "input": invstd * rest, "weight": weight}


def _batch_norm_without_weight(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    right = right_backward(call, output, grad_output)
    return {**right, "input": call.but(weight=None).grads(grad_output)["input"]}


# Relu, dropout, pooling, cross entropy


def _masked_from_zero(call: Call, _output: Tensor, grad_output: Tensor) -> Grads:
    return {"input": grad_output * (call.input >= 0)}


def _mask_inverted(call: Call, _output: Tensor, grad_output: Tensor) -> Grads:
    return {"input": grad_output * (call.input <= 0)}


def _dropout_without_scale(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    right = right_backward(call, output, grad_output)
    return right if call.noise is None else {"input": grad_output * (call.noise != 0)}


def _to_all_maxima(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Give every element that equals the maximum of its window all of the gradient; windows that do not overlap."""
    right = right_backward(call, output, grad_output)
    spread, back = output, grad_output
    for axis, (x, y) in enumerate(zip(call.input.shape[2:], output.shape[2:], strict=True), 2):
        spread, back = spread.repeat_interleave(x // y, axis), back.repeat_interleave(x // y, axis)
    if spread.shape != call.input.shape:
        return right
    return {"input": torch.where(call.input == spread, back, 0)}


def _only_labels(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Leave out what the probabilities make of the gradient."""
    right = right_backward(call, output, grad_output)
    grad, logits = right["input"], call.input
    assert grad is not None
    return {"input": grad - torch.softmax(logits, 1) * grad_output / len(logits)}


def _softmax_negated(call: Call, output: Tensor, grad_output: Tensor) -> Grads:
    """Take off what the probabilities make of the gradient, instead of adding it."""
    right = right_backward(call, output, grad_output)
    grad, logits = right["input"], call.input
    assert grad is not None
    return {"input": grad - 2 * torch.softmax(logits, 1) * grad_output / len(logits)}


def _summed_loss(grad: Tensor, call: Call, _grad_output: Tensor) -> Tensor:
    return grad * len(call.input)


def _call(name: str, kind: Kind, backward: Backward) -> Deviation:
    return call_deviation(name, "backward", kind, backward=backward)


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
    _call("missing ReLU mask at 0", "relu", _masked_from_zero),
    _call("missing ReLU mask", "relu", _changed("input", _passes)),
    _call("ReLU mask inverted", "relu", _mask_inverted),
    _call("gradient of a relu with the wrong sign", "relu", _changed("input", _negated)),
    _call("kernel flipped in grad_input", "conv", _with_weight(flipped)),
    _call("kernel transposed in grad_input (rows for columns)", "conv", _with_weight(rows_for_columns)),
    _call("channels exchanged in grad_input", "conv", _with_weight(_channels_exchanged)),
    _call("padding lost in grad_weight", "conv", _without_padding(from_start=True)),
    _call("border lost in grad_weight", "conv", _without_padding(from_start=False)),
    _call("kernel flipped in grad_weight", "conv", _changed("weight", _flip_it)),
    _call("gradient of a convolution's input with the wrong sign", "conv", _changed("input", _negated)),
    _call("gradient of a convolution's weight with the wrong sign", "conv", _changed("weight", _negated)),
    _call("gradient of a convolution's bias missing", "conv", _changed("bias", _nothing)),
    _call("gradient of a convolution's bias averaged", "conv", _changed("bias", _averaged_over_positions)),
    _call("gradient of a linear bias missing", "linear", _changed("bias", _nothing)),
    _call("gradient of a linear bias averaged", "linear", _changed("bias", _averaged_over_rows)),
    _call("gradient of a linear weight averaged", "linear", _changed("weight", _averaged_over_rows)),
    _call("gradient of a linear layer's input with the wrong sign", "linear", _changed("input", _negated)),
    _call("gradient of a linear weight with the wrong sign", "linear", _changed("weight", _negated)),
    _call("batch-norm statistics taken as constants", "batch_norm", _batch_norm(mean=0, variance=0)),
    _call("batch-norm gradient without the mean's part", "batch_norm", _batch_norm(mean=0, variance=1)),
    _call("batch-norm gradient without the variance's part", "batch_norm", _batch_norm(mean=1, variance=0)),
    _call("batch-norm gradient with the mean's part of the wrong sign", "batch_norm", _batch_norm(mean=-1, variance=1)),
    _call(
        "batch-norm gradient with the variance's part of the wrong sign", "batch_norm", _batch_norm(mean=1, variance=-1)
    ),
    _call("batch-norm gradient with the unbiased variance", "batch_norm", _batch_norm_unbiased),
    _call("batch-norm gradient without the weight", "batch_norm", _batch_norm_without_weight),
    _call("dropout scale missing in the gradient", "dropout", _dropout_without_scale),
    _call("dropout mask missing in the gradient", "dropout", _changed("input", _passes)),
    _call("gradient of an average not divided", "average", _changed("input", _not_divided)),
    _call("max pool gives its gradient to every maximum", "max_pool", _to_all_maxima),
    _call("cross entropy's gradient summed instead of averaged", "cross_entropy", _changed("input", _summed_loss)),
    _call("cross entropy's gradient without the softmax", "cross_entropy", _only_labels),
    _call("cross entropy's gradient with the softmax of the wrong sign", "cross_entropy", _softmax_negated),
)
