"""Known deviations of the forward: other conventions of batch norm, dropout, convolution, pooling and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.compare.catalogue.gradient import AVERAGES, CONV, DROPOUT, RELU
from trainloop.compare.catalogue.rules import rule_deviation, run_forward
from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Key
from trainloop.manual import Form
from trainloop.manual.rule import FORMULA, Needs

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
BATCH_NORM = ("batch_norm",)
NAMES = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
DEFAULTS = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}


def _batch_norm(change: Callable[[dict[str, Any]], Tensor | None]) -> Any:
    """Change the arguments of a batch norm, or compute its output; the right forward runs with what is left in them."""

    def forward(form: Form, args: Args, kwargs: Kwargs, needs: Needs) -> Any:
        given = {**DEFAULTS, **dict(zip(NAMES, args, strict=False)), **kwargs}
        output = change(given)
        right, saved = run_forward(form, tuple(given[name] for name in NAMES), {}, needs)
        return (right if output is None else output), saved

    return forward


def _statistics(given: dict[str, Any]) -> tuple[Tensor, Tensor, float]:
    """Return mean and biased variance, shaped to broadcast, and how many values each was taken over."""
    x = given["input"]
    axes = (0, *range(2, x.dim()))
    mean = x.mean(axes, keepdim=True)
    return mean, (x - mean).square().mean(axes, keepdim=True), x.numel() / x.shape[1]


def _scaled(given: dict[str, Any], normalized: Tensor) -> Tensor:
    shape = (1, -1, *(1 for _axis in normalized.shape[2:]))
    for name, function in (("weight", torch.mul), ("bias", torch.add)):
        if given[name] is not None:
            normalized = function(normalized, given[name].view(shape))
    return normalized


def _unbiased(given: dict[str, Any]) -> Tensor | None:
    if not given["training"]:
        return None
    mean, var, count = _statistics(given)
    return _scaled(given, (given["input"] - mean) * (var * count / (count - 1) + given["eps"]).rsqrt())


def _eps_outside(given: dict[str, Any]) -> Tensor | None:
    if not given["training"]:
        return None
    mean, var, _ = _statistics(given)
    return _scaled(given, (given["input"] - mean) / (var.sqrt() + given["eps"]))


def _eps_missing(given: dict[str, Any]) -> Tensor | None:
    if not given["training"]:
        return None
    mean, var, _ = _statistics(given)
    return _scaled(given, (given["input"] - mean) / var.sqrt())


def _running_used(given: dict[str, Any]) -> None:
    given["training"] = given["running_mean"] is None


def _momentum_convention(given: dict[str, Any]) -> None:
    given["momentum"] = 1 - given["momentum"]


def _not_followed(given: dict[str, Any]) -> None:
    if given["training"]:
        given["running_mean"] = given["running_var"] = None


def _biased_running(given: dict[str, Any]) -> None:
    """Correct beforehand what the right forward will add too much: m · v · (n/(n−1) − 1)."""
    if given["training"] and given["running_var"] is not None:
        _, var, count = _statistics(given)
        surplus = given["momentum"] * var.flatten() * (count / (count - 1) - 1)
        given["running_var"].sub_(surplus / (1 - given["momentum"]))


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(given: dict[str, Any]) -> None:
        given[name] = None

    return change


def _output(change: Callable[[Tensor, Args, Kwargs], Tensor]) -> Any:
    """Change the output of the right forward."""

    def forward(form: Form, args: Args, kwargs: Kwargs, needs: Needs) -> Any:
        before = args[0].clone()
        output, saved = run_forward(form, args, kwargs, needs)
        return change(output, (before, *args[1:]), kwargs), saved

    return forward


def _without_scale(output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    before: Tensor = args[0]
    return torch.where(output == 0, output, before)


def _not_dropped(_output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    before: Tensor = args[0]
    return before


def _turned_weight(turn: Callable[[Tensor], Tensor]) -> Any:
    def forward(form: Form, args: Args, kwargs: Kwargs, needs: Needs) -> Any:
        return run_forward(form, (args[0], turn(args[1]).contiguous(), *args[2:]), kwargs, needs)

    return forward


def _flip(weight: Tensor) -> Tensor:
    return weight.flip(tuple(range(2, weight.dim())))


def _transpose(weight: Tensor) -> Tensor:
    return weight.transpose(-1, -2) if weight.dim() == 4 and weight.shape[-1] == weight.shape[-2] else weight


def _without_bias(form: Form, args: Args, kwargs: Kwargs, needs: Needs) -> Any:
    kwargs = {name: value for name, value in kwargs.items() if name != "bias"}
    return run_forward(form, (*args[:2], None, *args[3:]), kwargs, needs)


def _counted_not(scene: Scene) -> Predicted | None:
    """Leave the batch norms' counters as they were."""
    before = scene.differing.record.before.buffers
    found: dict[Key, Tensor | None] = {
        key: before[key.name].double()
        for key in scene.reference
        if key.kind == "buffer" and key.name.endswith("num_batches_tracked")
    }
    return found or None


def _sum_of(output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    before: Tensor = args[0]
    return output * (before.numel() / output.numel())


def _gelu_tanh(_output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    approximated: Tensor = F.gelu(args[0], approximate="tanh")
    return approximated


def _leaky(_output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    leaked: Tensor = F.leaky_relu(args[0], 0.01)
    return leaked


def _relu6(_output: Tensor, args: Args, _kwargs: Kwargs) -> Tensor:
    before: Tensor = args[0]
    return before.clamp(0, 6)


FORWARD: tuple[Deviation, ...] = (
    rule_deviation(
        "batch-norm variance unbiased where it normalizes",
        "forward",
        BATCH_NORM,
        forward=_batch_norm(_unbiased),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm running variance biased", "forward", BATCH_NORM, forward=_batch_norm(_biased_running), form=FORMULA
    ),
    rule_deviation(
        "batch-norm momentum of the other convention (1 − momentum)",
        "forward",
        BATCH_NORM,
        forward=_batch_norm(_momentum_convention),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm eps outside the square root", "forward", BATCH_NORM, forward=_batch_norm(_eps_outside), form=FORMULA
    ),
    rule_deviation("batch-norm eps forgotten", "forward", BATCH_NORM, forward=_batch_norm(_eps_missing), form=FORMULA),
    rule_deviation(
        "batch-norm in eval mode (running statistics used)",
        "forward",
        BATCH_NORM,
        forward=_batch_norm(_running_used),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm running statistics not updated",
        "forward",
        BATCH_NORM,
        forward=_batch_norm(_not_followed),
        form=FORMULA,
    ),
    rule_deviation(
        "batch-norm weight forgotten", "forward", BATCH_NORM, forward=_batch_norm(_without("weight")), form=FORMULA
    ),
    rule_deviation(
        "batch-norm bias forgotten", "forward", BATCH_NORM, forward=_batch_norm(_without("bias")), form=FORMULA
    ),
    deviation("batches not counted (num_batches_tracked)", "forward", _counted_not),
    rule_deviation("dropout scale missing", "forward", DROPOUT, forward=_output(_without_scale)),
    rule_deviation("dropout not applied", "forward", DROPOUT, forward=_output(_not_dropped)),
    rule_deviation("kernel flipped (a true convolution)", "forward", CONV, forward=_turned_weight(_flip)),
    rule_deviation("kernel transposed (rows for columns)", "forward", CONV, forward=_turned_weight(_transpose)),
    rule_deviation("bias of a convolution forgotten", "forward", CONV, forward=_without_bias),
    rule_deviation("bias of a linear layer forgotten", "forward", ("linear",), forward=_without_bias),
    rule_deviation("sum instead of average", "forward", AVERAGES, forward=_output(_sum_of)),
    rule_deviation("tanh approximation of gelu", "forward", ("gelu",), forward=_output(_gelu_tanh)),
    rule_deviation("leaky relu instead of relu", "forward", RELU, forward=_output(_leaky)),
    rule_deviation("relu6 instead of relu", "forward", RELU, forward=_output(_relu6)),
)
