"""Which implementation each stage gets, and which mixes are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.errors import ConfigError, StageError
from trainloop.manual.optim import SGD
from trainloop.stages import STAGES, build_stages, stage_modes
from trainloop.stages.context import StageContext
from trainloop.stages.sync import nothing


def context_of(**settings):
    return StageContext(nn.Linear(3, 2), RunConfig.model_validate(settings), torch.device("cpu"))


def test_every_stage_has_a_builtin_and_a_manual_implementation():
    both = ["builtin", "manual"]
    assert {name: sorted(table) for name, table in STAGES.items()} == {
        **dict.fromkeys(("zero_grad", "forward", "loss", "backward", "sync"), both),
        "step": sorted([*both, "foreach", "compiled"]),
    }


def test_the_schema_offers_the_implementations_that_there_are():
    for name, table in STAGES.items():
        choices = RunConfig.model_json_schema()["$defs"]["StagesConfig"]["properties"][name]["anyOf"][0]["enum"]
        assert sorted(choices) == sorted(table), name


def test_mode_chooses_all_stages():
    assert set(stage_modes(RunConfig(mode="manual")).values()) == {"manual"}


def test_a_stage_can_be_chosen_singly():
    config = RunConfig.model_validate({"stages": {"step": "manual"}})
    assert stage_modes(config) == {
        "zero_grad": "builtin",
        "forward": "builtin",
        "loss": "builtin",
        "backward": "builtin",
        "sync": "builtin",
        "step": "manual",
    }
    context = StageContext(nn.Linear(3, 2), config, torch.device("cpu"))
    build_stages(context)
    assert isinstance(context.optimizers[0], SGD)


def test_a_backward_without_its_forward_is_refused():
    config = RunConfig.model_construct(
        mode="builtin", stages=RunConfig().stages.model_copy(update={"backward": "manual"})
    )
    with pytest.raises(StageError, match="found: forward: builtin, loss: builtin, backward: manual") as caught:
        stage_modes(config)
    assert caught.value.exit_code == 2


def test_a_group_that_matches_nothing_is_refused():
    context = context_of(optimizer={"name": "sgd", "groups": ({"match": "*.gain"},)})
    with pytest.raises(ConfigError, match=r"optimizer.groups\[0\].match: (.|\n)*found: \*\.gain(.|\n)*weight, bias"):
        build_stages(context)


def test_groups_get_their_own_lr_and_decay():
    context = context_of(
        optimizer={
            "name": "sgd",
            "weight_decay": 0.1,
            "groups": ({"match": "b*", "lr_scale": 3.0, "weight_decay": 0.0},),
        }
    )
    stages = build_stages(context)
    for param in context.params:
        param.grad = torch.zeros_like(param)
    stages.step(0.5)
    found = [(group["lr"], group["weight_decay"]) for group in context.optimizers[0].param_groups]
    assert found == [(1.5, 0.0), (0.5, 0.1)]


def test_frozen_parameters_stay_out():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    context = StageContext(model, RunConfig(), torch.device("cpu"))
    build_stages(context)
    assert [len(group["params"]) for group in context.optimizers[0].param_groups] == [1]


def test_sync_does_nothing_unless_asked():
    assert build_stages(context_of()).sync is nothing
    assert build_stages(context_of(train={"clip_grad_norm": 1.0})).sync is not nothing


def test_gradients_are_clipped_by_norm_then_by_value():
    context = context_of(train={"clip_grad_norm": 1.0, "clip_grad_value": 0.3})
    stages = build_stages(context)
    for param in context.params:
        param.grad = torch.full_like(param, 100.0)
    stages.sync()
    assert max(param.grad.abs().max().item() for param in context.params) == pytest.approx(0.3)
