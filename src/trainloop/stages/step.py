"""Stage 6, step: update every parameter from its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trainloop.errors import ConfigError, StageError
from trainloop.manual.errors import FormError
from trainloop.manual.optim import OPTIMIZERS, Optimizer
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.fast import FastForm
from trainloop.manual.optim.foreach import ForeachForm
from trainloop.stages.context import StageContext, Update
from trainloop.stages.param_groups import Share, divide

BUILTIN_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
    "asgd": torch.optim.ASGD,
    "adafactor": torch.optim.Adafactor,
    "muon": torch.optim.Muon,
}


def builtin_step(context: StageContext) -> Update:
    """Return ``torch.optim``'s step, through the gradient scaler in fp16.

    Raises:
        ConfigError: a group matches no parameter, or muon meets a convolution.
    """
    shares, scaler = divide(context.model, context.config.optimizer), context.scaler
    if shares[0].name == "muon" and context.substitutes.optimizer is None:
        _refuse_convolutions(context.model)
    optimizers = _constructed(context, shares, BUILTIN_OPTIMIZERS)
    context.optimizers = optimizers

    def step(lr: float) -> None:
        for optimizer in optimizers:
            _set_lr(optimizer.param_groups, lr)
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None:
            scaler.update()

    return step


def manual_step(context: StageContext) -> Update:
    """Return the loop over parameters that assigns ``param.data``.

    Raises:
        ConfigError: a group matches no parameter.
    """
    return _own_step(context, lambda optimizer: optimizer.step)


def foreach_step(context: StageContext) -> Update:
    """Return the loop's formula on blocks of parameters, in place.

    Raises:
        ConfigError: a group matches no parameter.
        StageError: the formula works on whole tensors.
    """
    return _own_step(context, lambda optimizer: _fast(ForeachForm, optimizer))


def compiled_step(context: StageContext) -> Update:
    """Return the loop's formula as one compiled pass, in place; compiling takes about a second, here and now.

    Raises:
        ConfigError: a group matches no parameter.
        StageError: the formula works on whole tensors, the device is not the CPU, or there is no C++ compiler.
    """
    return _own_step(context, lambda optimizer: _fast(CompiledForm, optimizer))


STEP: dict[str, Callable[[StageContext], Update]] = {
    "builtin": builtin_step,
    "manual": manual_step,
    "foreach": foreach_step,
    "compiled": compiled_step,
}


STEP_OF_FORM = {"loop": "manual", "foreach": "foreach"}
"""how the config calls the forms that the manual path can give instead of another"""


def _own_step(context: StageContext, step_of: Callable[[Optimizer], Callable[[], object]]) -> Update:
    shares = divide(context.model, context.config.optimizer)
    optimizers = _constructed(context, shares, OPTIMIZERS)
    steps = [step_of(optimizer) for optimizer in optimizers]
    context.optimizers = optimizers

    def step(lr: float) -> None:
        for optimizer, step_one in zip(optimizers, steps, strict=True):
            _set_lr(optimizer.param_groups, lr)
            step_one()

    return step


def _constructed(context: StageContext, shares: Sequence[Share], table: Mapping[str, Callable[..., Any]]) -> list[Any]:
    """Build the optimizer of each share; the first, which the config names, may be a substitute."""
    constructors = [table[share.name] for share in shares]
    if context.substitutes.optimizer is not None:
        constructors[0] = context.substitutes.optimizer
    return [make(share.groups, **share.settings) for make, share in zip(constructors, shares, strict=True)]


def _fast(form: type[FastForm], optimizer: Optimizer) -> Callable[[], object]:
    try:
        return form(optimizer).step
    except FormError as error:
        raise StageError(
            "this form of the step cannot be had",
            where="stages.step",
            found=str(error),
            help=f"--set stages.step={STEP_OF_FORM[error.instead]}",
        ) from error


def _set_lr(groups: list[dict[str, Any]], lr: float) -> None:
    for group in groups:
        group["lr"] = lr * group["lr_scale"]


def _refuse_convolutions(model: nn.Module) -> None:
    deep = [(name, tuple(p.shape)) for name, p in model.named_parameters() if p.requires_grad and p.ndim > 2]
    if deep:
        name, shape = deep[0]
        raise ConfigError(
            "torch.optim.Muon takes matrices only, and this model has weights of more dimensions",
            where="optimizer.name",
            found=f"{name} of shape {shape}" + (f" and {len(deep) - 1} more" if len(deep) > 1 else ""),
            expected="another optimizer, or the Muon of this project, which takes convolutions",
            help="--set stages.step=manual",
        )
