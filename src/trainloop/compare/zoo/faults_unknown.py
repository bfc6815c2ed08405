"""Faults that nobody would list beforehand: the right answer is that none of the known deviations explains them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.key import Stage
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import PARAM, UNKNOWN, Change, Fault, Pair, altered, formulas, with_rules
from trainloop.compare.zoo.nets import cnn
from trainloop.manual.rule import by_function
from trainloop.stages import Stages

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
Action = Callable[[nn.Module], None]


def odd(what: str, stage: Stage, tensor: str, change: Change) -> Fault:
    """Return stages that do something odd as a fault."""

    def make(_: None) -> Pair:
        step = TrainingStep(cnn(), SGD)
        return Pair(step, altered(step, change))

    return Fault(f"odd: {what}", stage, tensor, make, UNKNOWN)


def after_backward(spoil: Action) -> Change:
    """Return a change: a backward that spoils the gradients it has made."""

    def change(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
        def backward(loss: Tensor) -> None:
            stages.backward(loss)
            with torch.no_grad():
                spoil(model)

        return dataclasses.replace(stages, backward=backward)

    return change


def after_sync(spoil: Action) -> Change:
    """Return a change: a sync that spoils the gradients."""

    def change(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
        def sync() -> None:
            stages.sync()
            with torch.no_grad():
                spoil(model)

        return dataclasses.replace(stages, sync=sync)

    return change


def around_step(spoil: Callable[[Tensor, Tensor], None]) -> Change:
    """Return a change: a step after which each parameter is spoiled, given as it was before and as it is now."""

    def change(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
        def step(lr: float) -> None:
            before = [param.detach().clone() for param in model.parameters()]
            stages.step(lr)
            with torch.no_grad():
                for old, param in zip(before, model.parameters(), strict=True):
                    spoil(old, param)

        return dataclasses.replace(stages, step=step)

    return change


def _grad(model: nn.Module, name: str) -> Tensor:
    grad = model.get_parameter(name).grad
    assert grad is not None
    return grad


def _first_bias(model: nn.Module) -> None:
    _grad(model, "conv2.bias")[1] = 0


def _bfloat16(model: nn.Module) -> None:
    for param in model.parameters():
        if param.grad is not None:
            param.grad = param.grad.bfloat16().to(param.dtype)


def _row_shifted(model: nn.Module) -> None:
    grad = _grad(model, "head.weight")
    grad[2] = grad[2].roll(1)


def _nan(model: nn.Module) -> None:
    _grad(model, "conv2.weight")[0, 0, 0, 0] = math.nan


def _infinite(model: nn.Module) -> None:
    _grad(model, "head.bias")[1] = math.inf


def _mirrored(model: nn.Module) -> None:
    for param in model.parameters():
        if param.grad is not None and param.dim() == 2:
            param.grad = param.grad.flip(1)


def _sevenths_stay(old: Tensor, param: Tensor) -> None:
    flat = param.clone().reshape(-1)
    flat[6::7] = old.reshape(-1)[6::7]
    param.copy_(flat.view(param.shape))


def _sine(old: Tensor, param: Tensor) -> None:
    param.add_((100 * old).sin() * (param - old), alpha=0.01)


def _nan_weight(_old: Tensor, param: Tensor) -> None:
    if param.dim() > 1:
        param[(0,) * param.dim()] = math.nan


def _coarse(_old: Tensor, param: Tensor) -> None:
    param.copy_((param * 4096).round() / 4096)


def _one_logit(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
    def forward(x: Tensor) -> Tensor:
        logits = stages.forward(x)
        return logits + 1e-3 * (torch.arange(logits.shape[1]) == 3).to(logits)

    return dataclasses.replace(stages, forward=forward)


def _loss_plus(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
    return dataclasses.replace(
        stages, loss=lambda logits, labels, share: stages.loss(logits, labels, share) + 1e-3 * logits.cos().mean()
    )


def _kept_column(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def zero_grad() -> None:
        kept = model.get_parameter("head.weight").grad
        stages.zero_grad()
        if kept is not None:
            mask = torch.zeros_like(kept)
            mask[:, 4] = 1
            model.get_parameter("head.weight").grad = kept * mask

    return dataclasses.replace(stages, zero_grad=zero_grad)


def _shifted_taps() -> Fault:
    """Return an edit that moves one output channel's grad_weight by a tap."""
    edit = Edit(
        "conv.im2col",
        (
            (
                "taps_last.movedim(-1, 1)",
                "taps_last.movedim(-1, 1).index_fill(0, torch.tensor([2]), 0.5)",
            ),
        ),
        "grad_weight",
        ("rules.conv",),
    )

    def make(edited: ModuleType) -> Pair:
        rules = with_rules(formulas(by_function(edited.CONV)))
        net = cnn()
        return Pair(TrainingStep(net, SGD), TrainingStep(net, SGD, tape=True, rules=rules))

    return Fault("odd: one channel of grad_weight is 0.5", "backward", r"grad of conv[12]\.weight", make, UNKNOWN, edit)


FAULTS: Sequence[Fault] = (
    odd("the gradient of one channel's bias is 0", "backward", r"grad of conv2\.bias", after_backward(_first_bias)),
    odd("gradients rounded to bfloat16", "backward", r"grad of \w+\.\w+", after_backward(_bfloat16)),
    odd("a row of grad_weight off by one", "backward", r"grad of head\.weight", after_backward(_row_shifted)),
    odd("NaN in one element of a gradient", "backward", r"grad of conv2\.weight", after_backward(_nan)),
    odd(
        "an infinite element in a gradient", "sync", r"grad of head\.bias", lambda *args: _only_in_net(_infinite, *args)
    ),
    odd("gradients of matrices mirrored", "sync", rf"grad of ({PARAM}|head\.weight)", after_sync(_mirrored)),
    odd("every seventh element stays", "step", PARAM, around_step(_sevenths_stay)),
    odd("the update disturbed by a sine", "step", PARAM, around_step(_sine)),
    odd("NaN in one weight", "step", PARAM, around_step(_nan_weight)),
    odd("weights on a grid of 1/4096", "step", PARAM, around_step(_coarse)),
    odd("one logit is shifted", "forward", "logits", _one_logit),
    odd("a cosine in the loss", "loss", "loss", _loss_plus),
    odd("one column of a gradient is not forgotten", "zero_grad", r"grad of head\.weight", _kept_column),
    _shifted_taps(),
)


def _only_in_net(spoil: Action, stages: Stages, model: nn.Module, optimizer: Any) -> Stages:
    """Spoil what sync leaves of the network's gradients; the optimizer cases have none of its names."""
    if not hasattr(model, "head"):
        return stages
    return after_sync(spoil)(stages, model, optimizer)
