"""Which parameters a run updates, with which optimizer, and how they differ in lr and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from trainloop.config.optimizers import GroupConfig, MuonConfig, OptimizerConfig
from trainloop.errors import ConfigError
from trainloop.manual.optim import OPTIMIZERS

Named = tuple[str, nn.Parameter]
Members = list[tuple[GroupConfig, list[nn.Parameter]]]
Group = dict[str, Any]


@dataclass(frozen=True)
class Share:
    """The parameters that one optimizer updates.

    Args:
        name: of the optimizer, as in the registries.
        settings: its keyword arguments.
        groups: ``params``, and how they differ: ``lr_scale``, a factor on the lr of the step, and ``weight_decay``.
    """

    name: str
    settings: dict[str, Any]
    groups: list[Group]


def divide(model: nn.Module, config: OptimizerConfig) -> list[Share]:
    """Divide the parameters that learn among optimizers: one takes all, but muon leaves biases and norms to adamw.

    Args:
        model: whose parameters; those that do not require a gradient are left out.
        config: the section ``optimizer``.

    Raises:
        ConfigError: a group matches no parameter.
    """
    named = [(name, param) for name, param in model.named_parameters() if param.requires_grad]
    members = _matched(named, config.groups)
    settings = config.model_dump(exclude={"name", "groups"})
    if not isinstance(config, MuonConfig):
        return [Share(config.name, settings, _groups(members, settings))]
    rest = {name.removeprefix("rest_"): settings.pop(name) for name in tuple(settings) if name.startswith("rest_")}
    least = OPTIMIZERS[config.name].fewest_dims
    matrices = [(group, [param for param in params if param.ndim >= least]) for group, params in members]
    others = [(group, [param for param in params if param.ndim < least]) for group, params in members]
    shares = [
        Share(config.name, settings, _groups(matrices, settings)),
        Share("adamw", rest, _groups(others, rest, lr_scale=rest["lr"] / config.lr)),
    ]
    return [share for share in shares if share.groups]


def _matched(named: Sequence[Named], groups: Sequence[GroupConfig]) -> Members:
    """Sort parameters into the config's groups; what matches none forms the last one."""
    members: Members = [(group, []) for group in (*groups, GroupConfig(match="*"))]
    for name, param in named:
        next(params for group, params in members if fnmatchcase(name, group.match)).append(param)
    for index, (group, params) in enumerate(members[:-1]):
        if not params:
            raise ConfigError(
                "this group matches no parameter that an earlier group leaves",
                where=f"optimizer.groups[{index}].match",
                found=group.match,
                expected=f"a pattern of names such as {', '.join(name for name, _ in named[:3])}",
                help="`trainloop train --dry-run` lists the names of all parameters",
            )
    return members


def _groups(members: Members, settings: dict[str, Any], lr_scale: float = 1.0) -> list[Group]:
    """Return what an optimizer takes; groups without a parameter are left out."""
    groups = []
    for group, params in members:
        own: Group = {"params": params, "lr_scale": group.lr_scale * lr_scale}
        if "weight_decay" in settings:
            own["weight_decay"] = settings["weight_decay"] if group.weight_decay is None else group.weight_decay
        if params:
            groups.append(own)
    return groups
