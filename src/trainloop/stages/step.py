"""Stage 6, step: update every parameter from its gradient."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch

from trainloop.config.schema import GroupConfig, OptimizerConfig
from trainloop.errors import ConfigError
from trainloop.manual.optim import OPTIMIZERS
from trainloop.stages.context import StageContext, Update

BUILTIN_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
}


def builtin_step(context: StageContext) -> Update:
    """Return ``torch.optim``'s step, through the gradient scaler in fp16."""
    config, scaler = context.config.optimizer, context.scaler
    optimizer = BUILTIN_OPTIMIZERS[config.name](_param_groups(context), **_hyper_parameters(config))
    context.optimizer = optimizer

    def step(lr: float) -> None:
        _set_lr(optimizer.param_groups, lr)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    return step


def manual_step(context: StageContext) -> Update:
    """Return the loop over parameters that assigns ``param.data``."""
    config = context.config.optimizer
    optimizer = OPTIMIZERS[config.name](_param_groups(context), **_hyper_parameters(config))
    context.optimizer = optimizer

    def step(lr: float) -> None:
        _set_lr(optimizer.param_groups, lr)
        optimizer.step()

    return step


STEP: dict[str, Callable[[StageContext], Update]] = {
    "builtin": builtin_step,
    "manual": manual_step,
}


def _hyper_parameters(config: OptimizerConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"name", "groups"})


def _set_lr(groups: list[dict[str, Any]], lr: float) -> None:
    for group in groups:
        group["lr"] = lr * group["lr_scale"]


def _param_groups(context: StageContext) -> list[dict[str, Any]]:
    """Sort the parameters that learn into the config's groups; what matches none forms the last one.

    Raises:
        ConfigError: a group matches no parameter.
    """
    optimizer = context.config.optimizer
    rest = GroupConfig(match="*")
    groups = [*optimizer.groups, rest]
    members: list[list[torch.nn.Parameter]] = [[] for _ in groups]
    named = [(name, param) for name, param in context.model.named_parameters() if param.requires_grad]
    for name, param in named:
        index = next(i for i, group in enumerate(groups) if fnmatchcase(name, group.match))
        members[index].append(param)
    for index, (group, params) in enumerate(zip(optimizer.groups, members, strict=False)):
        if not params:
            raise ConfigError(
                "this group matches no parameter that an earlier group leaves",
                where=f"optimizer.groups[{index}].match",
                found=group.match,
                expected=f"a pattern of names such as {', '.join(name for name, _ in named[:3])}",
                help="`trainloop train --dry-run` lists the names of all parameters",
            )
    return [
        {
            "params": params,
            "lr_scale": group.lr_scale,
            "weight_decay": optimizer.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group, params in zip(groups, members, strict=True)
        if params
    ]
