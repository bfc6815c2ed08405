"""Known deviations of the forward: other conventions of batch norm, dropout, convolution, pooling and activations."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from trainloop.compare.catalogue.calls import Call, Forward, Kind, right_forward
from trainloop.compare.catalogue.gradient import flipped, rows_for_columns
from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, call_deviation, deviation
from trainloop.compare.key import Key

DEFAULT_EPS, DEFAULT_MOMENTUM = 1e-5, 0.1


# Batch norm


def _normalizing(scale: Callable[[Tensor, float, float], Tensor]) -> Forward:
    """Normalize by another factor: (biased variance, values a channel, eps) → what the centred input is multiplied by."""

    def forward(call: Call) -> Tensor:
        right = right_forward(call)  # moves the running statistics, too
        if not call["training"]:
            return right
        x, eps = call.input, DEFAULT_EPS if call["eps"] is None else call["eps"]
        axes = (0, *range(2, x.dim()))
        centred = x - x.mean(axes, keepdim=True)
        output = centred * scale(centred.square().mean(axes, keepdim=True), x.numel() / x.shape[1], eps)
        shape = (1, -1, *([1] * (x.dim() - 2)))
        if call["weight"] is not None:
            output = output * call["weight"].view(shape)
        return output if call["bias"] is None else output + call["bias"].view(shape)

    return forward


def _unbiased(var: Tensor, count: float, eps: float) -> Tensor:
    return (var * count / (count - 1) + eps).rsqrt()


def _eps_outside(var: Tensor, _count: float, eps: float) -> Tensor:
    return 1 / (var.sqrt() + eps)


def _eps_missing(var: Tensor, _count: float, _eps: float) -> Tensor:
    return var.rsqrt()


def _not_rooted(var: Tensor, _count: float, eps: float) -> Tensor:
    return 1 / (var + eps)


def _unbiased_throughout(call: Call) -> Tensor:
    """Take the unbiased variance for the biased one, so that the running variance is corrected twice."""
    output = _normalizing(_unbiased)(call)
    if call["training"] and call["running_var"] is not None:
        x = call.input
        axes, count = (0, *range(2, x.dim())), x.numel() / x.shape[1]
        momentum = DEFAULT_MOMENTUM if call["momentum"] is None else call["momentum"]
        call["running_var"].add_(momentum * x.var(axes) * (count / (count - 1) - 1))
    return output


def _running_used(call: Call) -> Tensor:
    return right_forward(call.but(training=call["running_mean"] is None))


def _momentum_convention(call: Call) -> Tensor:
    momentum = DEFAULT_MOMENTUM if call["momentum"] is None else call["momentum"]
    return right_forward(call.but(momentum=1 - momentum))


def _not_followed(call: Call) -> Tensor:
    return right_forward(call.but(running_mean=None, running_var=None) if call["training"] else call)


def _biased_running(call: Call) -> Tensor:
    """Take off afterwards what the unbiased estimate has more: m · v · (n / (n − 1) − 1)."""
    output = right_forward(call)
    if call["training"] and call["running_var"] is not None:
        x = call.input
        axes, count = (0, *range(2, x.dim())), x.numel() / x.shape[1]
        momentum = DEFAULT_MOMENTUM if call["momentum"] is None else call["momentum"]
        surplus = x.var(axes, unbiased=False) * (count / (count - 1) - 1)
        call["running_var"].sub_(momentum * surplus)
    return output


def _without(name: str) -> Forward:
    def forward(call: Call) -> Tensor:
        return right_forward(call if call[name] is None else call.but(**{name: None}))

    return forward


def _counted_not(scene: Scene) -> Predicted | None:
    """Leave the batch norms' counters as they were."""
    before = scene.differing.record.before.buffers
    found: dict[Key, Tensor | None] = {
        key: before[key.name].double()
        for key in scene.reference
        if key.kind == "buffer" and key.name.endswith("num_batches_tracked")
    }
    return found or None


# Everything else


def _without_scale(call: Call) -> Tensor:
    return right_forward(call) if call.noise is None else call.input * (call.noise != 0)


def _not_dropped(call: Call) -> Tensor:
    return call.input.clone()


def _turned(turn: Callable[[Tensor], Tensor | None]) -> Forward:
    def forward(call: Call) -> Tensor:
        weight = turn(call["weight"])
        return right_forward(call if weight is None else call.but(weight=weight.contiguous()))

    return forward


def _sum(call: Call) -> Tensor:
    output = right_forward(call)
    return output * (call.input.numel() / output.numel())


def _gelu_tanh(call: Call) -> Tensor:
    return F.gelu(call.input, approximate="tanh")


def _leaky(call: Call) -> Tensor:
    return F.leaky_relu(call.input, 0.01)


def _relu6(call: Call) -> Tensor:
    return call.input.clamp(0, 6)


def _relu_of_minus(call: Call) -> Tensor:
    return call.input.clamp(max=0)


def _call(name: str, kind: Kind, *forward: Forward) -> Deviation:
    ways = [call_deviation(name, "forward", kind, forward=way) for way in forward]
    return deviation(name, "forward", *(way.predict[0] for way in ways))


FORWARD: tuple[Deviation, ...] = (
    _call(
        "batch-norm variance unbiased where it normalizes", "batch_norm", _normalizing(_unbiased), _unbiased_throughout
    ),
    _call("batch-norm running variance biased", "batch_norm", _biased_running),
    _call("batch-norm momentum of the other convention (1 − momentum)", "batch_norm", _momentum_convention),
    _call("batch-norm eps outside the square root", "batch_norm", _normalizing(_eps_outside)),
    _call("batch-norm eps forgotten", "batch_norm", _normalizing(_eps_missing)),
    _call("batch-norm divides by the variance, not by its root", "batch_norm", _normalizing(_not_rooted)),
    _call("batch-norm in eval mode (running statistics used)", "batch_norm", _running_used),
    _call("batch-norm running statistics not updated", "batch_norm", _not_followed),
    _call("batch-norm weight forgotten", "batch_norm", _without("weight")),
    _call("batch-norm bias forgotten", "batch_norm", _without("bias")),
    deviation("batches not counted (num_batches_tracked)", "forward", _counted_not),
    _call("dropout scale missing", "dropout", _without_scale),
    _call("dropout not applied", "dropout", _not_dropped),
    _call("kernel flipped (a true convolution)", "conv", _turned(flipped)),
    _call("kernel transposed (rows for columns)", "conv", _turned(rows_for_columns)),
    _call("bias of a convolution forgotten", "conv", _without("bias")),
    _call("bias of a linear layer forgotten", "linear", _without("bias")),
    _call("sum instead of average", "average", _sum),
    _call("tanh approximation of gelu", "gelu", _gelu_tanh),
    _call("leaky relu instead of relu", "relu", _leaky),
    _call("relu6 instead of relu", "relu", _relu6),
    _call("relu of the other side", "relu", _relu_of_minus),
)
