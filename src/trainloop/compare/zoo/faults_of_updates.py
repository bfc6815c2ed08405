"""Faults of what optimizers share, and steps that do something beside the update."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.zoo.fault import PARAM, UNKNOWN, Change, Fault, Pair, altered
from trainloop.compare.zoo.faults_of_optimizers import MOMENTUM, edited, torch_optimizer
from trainloop.compare.zoo.nets import mlp
from trainloop.stages import Stages

OF_THE_LOOP: tuple[Fault, ...] = (
    edited(
        "sgd",
        "a group forgotten",
        (("for group in self.param_groups", "for group in self.param_groups[:1]"),),
        ("a parameter group forgotten",),
        of="base",
        within="step",
        tensor=r"plain\.\w+",
    ),
    edited(
        "sgd",
        "a gradient of None taken for zeros",
        (
            ("if param.grad is not None:", "if True:"),
            ("param.grad, group)", "torch.zeros_like(param) if param.grad is None else param.grad, group)"),
        ),
        UNKNOWN,
        MOMENTUM,
        of="base",
        within="step",
        tensor=r"(momentum_buffer of )?(decayed|plain)\.missing_at_times",
    ),
    edited(
        "adam",
        "the count of steps runs by twos",
        (('{"step": state["step"] + 1}', '{"step": state["step"] + 2}'),),
        UNKNOWN,
        of="base",
        within="_step_one",
    ),
)


def beside(what: str, change: Change, cause: tuple[str, ...] | None, *, tensor: str = PARAM) -> Fault:
    """Return a step that is torch's SGD with momentum and something beside it, as a fault."""

    def make(_: None) -> Pair:
        step = TrainingStep(mlp(), torch_optimizer("sgd", MOMENTUM))
        return Pair(step, altered(step, change))

    return Fault(f"step: {what}", "step", tensor, make, cause)


def _stale_gradient(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    earlier: dict[str, torch.Tensor] = {}

    def step(lr: float) -> None:
        grads = {name: param.grad for name, param in model.named_parameters() if param.grad is not None}
        for name, param in model.named_parameters():
            if name in grads and name in earlier:
                param.grad = earlier[name]
        earlier.update(grads)
        stages.step(lr)

    return dataclasses.replace(stages, step=step)


def _step_twice(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
    def step(lr: float) -> None:
        stages.step(lr)
        stages.step(lr)

    return dataclasses.replace(stages, step=step)


def _constant_lr(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
    def step(_lr: float) -> None:
        stages.step(1.0)

    return dataclasses.replace(stages, step=step)


def _no_vectors(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def step(lr: float) -> None:
        for param in model.parameters():
            if param.dim() < 2:
                param.grad = None
        stages.step(lr)

    return dataclasses.replace(stages, step=step)


BESIDE: tuple[Fault, ...] = (
    beside("with the gradient of the step before", _stale_gradient, ("stale gradient (that of the step before)",)),
    beside("taken twice", _step_twice, UNKNOWN),
    beside("deaf to the schedule", _constant_lr, UNKNOWN),
    beside(
        "leaves out what has one dimension",
        _no_vectors,
        UNKNOWN,
        tensor=r"(hidden|head)\.bias|(decayed|plain)\.(vector|number|\w+_gradient|missing_at_times)",
    ),
)

FAULTS: tuple[Fault, ...] = (*OF_THE_LOOP, *BESIDE)
