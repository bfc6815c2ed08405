"""Faults of zero_grad and of clipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.key import Stage
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import PARAM, UNKNOWN, Change, Fault, Pair, altered
from trainloop.compare.zoo.nets import idle_net, mlp
from trainloop.stages import Stages

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
MAX_NORM = 0.5
Criterion = Callable[..., Tensor]
Data = Sequence[tuple[Tensor, Tensor]]


def staged(
    what: str,
    stage: Stage,
    tensor: str,
    change: Change,
    cause: tuple[str, ...] | None,
    net: Callable[[], nn.Module] = mlp,
) -> Fault:
    """Return stages that are changed by hand as a fault, in a step that clips by norm."""

    def make(_: None) -> Pair:
        clip = partial(torch.nn.utils.clip_grad_norm_, max_norm=MAX_NORM, foreach=False)
        step = TrainingStep(net(), SGD, clip=clip)
        return Pair(step, altered(step, change))

    return Fault(f"{stage}: {what}", stage, tensor, make, cause)


def clipped(
    what: str, old: str, new: str, cause: tuple[str, ...] | None, *, max_norm: float = MAX_NORM, within: str = ""
) -> Fault:
    """Return an edit of ``clip.py`` as a fault, against torch's clipping."""

    def make(edited: ModuleType) -> Pair:
        clip = partial(torch.nn.utils.clip_grad_norm_, max_norm=max_norm, foreach=False)
        step = TrainingStep(mlp(), SGD, clip=clip)
        return Pair(step, dataclasses.replace(step, clip=partial(edited.clip_grad_norm, max_norm=max_norm)))

    tensor = r"grad of (hidden|head|decayed|plain)\.\w+"
    return Fault(f"clip: {what}", "sync", tensor, make, cause, Edit("clip", ((old, new),), within))


def zeroed(what: str, old: str, new: str, cause: tuple[str, ...] | None, tensor: str) -> Fault:
    """Return an edit of ``zero_grad.py`` as a fault."""

    def make(edited: ModuleType) -> Pair:
        step = TrainingStep(mlp(), SGD)

        def change(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
            return dataclasses.replace(stages, zero_grad=lambda: edited.zero_grad(model.parameters()))

        return Pair(step, altered(step, change))

    return Fault(f"zero_grad: {what}", "zero_grad", tensor, make, cause, Edit("zero_grad", ((old, new),), "zero_grad"))


def _zeros_for_all(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def zero_grad() -> None:
        for param in model.parameters():
            param.grad = torch.zeros_like(param)

    return dataclasses.replace(stages, zero_grad=zero_grad)


def _faded(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def zero_grad() -> None:
        for param in model.parameters():
            if param.grad is not None:
                param.grad.mul_(0.01)

    return dataclasses.replace(stages, zero_grad=zero_grad)


def _clip_after_step(stages: Stages, _model: nn.Module, _optimizer: Any) -> Stages:
    def step(lr: float) -> None:
        stages.step(lr)
        stages.sync()

    return dataclasses.replace(stages, sync=lambda: None, step=step)


def _clip_by_value(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    return dataclasses.replace(
        stages, sync=lambda: torch.nn.utils.clip_grad_value_(model.parameters(), MAX_NORM, foreach=False)
    )


def _clip_each(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def sync() -> None:
        for param in model.parameters():
            torch.nn.utils.clip_grad_norm_([param], MAX_NORM, foreach=False)

    return dataclasses.replace(stages, sync=sync)


def _halved(stages: Stages, model: nn.Module, _optimizer: Any) -> Stages:
    def sync() -> None:
        for param in model.parameters():
            if param.grad is not None:
                param.grad /= 2
        stages.sync()

    return dataclasses.replace(stages, sync=sync)


GRAD = r"grad of (hidden|head|decayed|plain)\.\w+"
OF_ZERO_GRAD: tuple[Fault, ...] = (
    zeroed("nothing is forgotten", "param.grad = None", "pass", ("gradient not zeroed",), r"grad of hidden\.weight"),
    zeroed(
        "the first parameter only",
        "for param in params:",
        "for param in list(params)[:1]:",
        UNKNOWN,
        r"grad of hidden\.bias",
    ),
    staged("faded instead of zeroed", "zero_grad", r"grad of hidden\.weight", _faded, UNKNOWN),
    staged(
        "zeros for a parameter that no loss reaches",
        "zero_grad",
        r"grad of unused",
        _zeros_for_all,
        ("gradient filled with zeros instead of None",),
        idle_net,
    ),
)

FACTOR = "((norm + SMALLEST_NORM).reciprocal() * max_norm).clamp(max=1.0)"
OF_SYNC: tuple[Fault, ...] = (
    clipped(
        "short gradients are stretched",
        FACTOR,
        FACTOR.removesuffix(".clamp(max=1.0)"),
        ("scaled up to the bound",),
        max_norm=1e4,
    ),
    clipped(
        "the norms of the tensors are added",
        "torch.linalg.vector_norm(torch.stack(norms), norm_type)",
        "torch.stack(norms).sum()",
        UNKNOWN,
    ),
    clipped("10⁻² added to the norm", "SMALLEST_NORM = 1e-6", "SMALLEST_NORM = 1e-2", UNKNOWN),
    clipped("the last parameter is left out", "for param, grad in pairs:", "for param, grad in pairs[:-1]:", UNKNOWN),
    clipped("by the norm of order 1", "float(norm_type))", "1.0)", UNKNOWN, within="clip_grad_norm"),
    staged(
        "clips after the step",
        "sync",
        GRAD,
        _clip_after_step,
        ("clipped after the update instead of before, or not at all",),
    ),
    staged("clips by value", "sync", GRAD, _clip_by_value, ("clipped by value instead of by norm",)),
    staged(
        "clips each parameter by itself", "sync", GRAD, _clip_each, ("each gradient clipped to the norm by itself",)
    ),
    staged("halves gradients before clipping", "sync", rf"grad of ({PARAM}|\w+\.\w+)", _halved, UNKNOWN),
)

FAULTS: tuple[Fault, ...] = (*OF_ZERO_GRAD, *OF_SYNC)
