"""Which optimizers a run gets, which parameters each of them takes, and what builtin muon refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.errors import ConfigError
from trainloop.manual.optim import OPTIMIZERS, AdamW, Muon
from trainloop.stages.context import StageContext
from trainloop.stages.step import BUILTIN_OPTIMIZERS, builtin_step, manual_step

CPU = torch.device("cpu")


def convolutional():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2, bias=False))


def of_matrices():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2, bias=False))


def context_of(model, optimizer, **changes):
    return StageContext(model, RunConfig.model_validate({"optimizer": optimizer, **changes}), CPU)


def with_gradients(model):
    generator = torch.Generator().manual_seed(1)
    for param in model.parameters():
        param.grad = torch.randn(param.shape, generator=generator)
    return model


def groups_of(context):
    return [
        [(g["lr_scale"], g.get("weight_decay"), len(g["params"])) for g in o.param_groups] for o in context.optimizers
    ]


def test_both_modes_know_the_same_optimizers():
    assert list(BUILTIN_OPTIMIZERS) == list(OPTIMIZERS)
    assert {name: kind.__name__ for name, kind in BUILTIN_OPTIMIZERS.items()} == {
        name: kind.__name__ for name, kind in OPTIMIZERS.items()
    }


@pytest.mark.parametrize("build", [builtin_step, manual_step])
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "muon"])
def test_one_optimizer_takes_all_parameters(name, build):
    context = context_of(convolutional(), {"name": name})
    build(context)
    (optimizer,) = context.optimizers
    assert type(optimizer).__name__ == OPTIMIZERS[name].__name__
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 5


def test_muon_leaves_biases_and_norms_to_adamw():
    model = convolutional()
    context = context_of(
        model, {"name": "muon", "lr": 0.5, "rest_lr": 0.25, "rest_betas": (0.5, 0.75), "rest_eps": 0.125}
    )
    manual_step(context)
    muon, adamw = context.optimizers
    assert (type(muon), type(adamw)) == (Muon, AdamW)
    assert [param.ndim for param in muon.param_groups[0]["params"]] == [4, 2]
    assert [param.ndim for param in adamw.param_groups[0]["params"]] == [1, 1, 1]
    assert (adamw.defaults["betas"], adamw.defaults["eps"]) == ((0.5, 0.75), 0.125)


def test_the_lr_of_the_rest_follows_the_schedule():
    context = context_of(with_gradients(convolutional()), {"name": "muon", "lr": 0.5, "rest_lr": 0.125})
    manual_step(context)(0.25)
    assert [optimizer.param_groups[0]["lr"] for optimizer in context.optimizers] == [0.25, 0.0625]


def test_groups_hold_for_both_optimizers_of_muon():
    groups = ({"match": "0.*", "lr_scale": 4.0, "weight_decay": 0.75}, {"match": "1.*", "lr_scale": 8.0})
    optimizer = {"name": "muon", "lr": 0.5, "weight_decay": 0.25, "rest_lr": 0.25, "rest_weight_decay": 0.125}
    context = context_of(convolutional(), {**optimizer, "groups": groups})
    manual_step(context)
    # Group 1 has no matrix, and nothing without a group is a vector.
    assert groups_of(context) == [[(4.0, 0.75, 1), (1.0, 0.25, 1)], [(2.0, 0.75, 1), (4.0, 0.125, 2)]]


def test_builtin_and_manual_muon_take_the_same_parameters_of_a_model_of_matrices():
    models = [with_gradients(of_matrices()) for _ in range(2)]
    contexts = [context_of(model, {"name": "muon", "lr": 0.5}) for model in models]
    for build, context in zip((builtin_step, manual_step), contexts, strict=True):
        build(context)(0.5)
    assert groups_of(contexts[0]) == groups_of(contexts[1])
    assert torch.equal(models[0][0].bias, models[1][0].bias), "AdamW takes the bias, with the same bits"


def test_builtin_muon_refuses_convolutions_and_names_the_way_out():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, (1, 2)))
    with pytest.raises(ConfigError) as caught:
        builtin_step(context_of(model, {"name": "muon"}))
    (fault,) = caught.value.faults
    assert fault.what == "torch.optim.Muon takes matrices only, and this model has weights of more dimensions"
    assert fault.where == "optimizer.name"
    assert fault.found == "0.weight of shape (4, 3, 3, 3) and 1 more"
    assert fault.expected == "another optimizer, or the Muon of this project, which takes convolutions"
    assert fault.help == "--set stages.step=manual"


def test_builtin_muon_does_not_mind_a_frozen_convolution():
    model = convolutional()
    model[0].weight.requires_grad_(False)
    context = context_of(model, {"name": "muon"})
    builtin_step(context)
    assert len(context.optimizers) == 2


def test_a_model_without_matrices_needs_no_muon():
    context = context_of(nn.BatchNorm1d(3), {"name": "muon"})
    builtin_step(context)
    assert [type(optimizer).__name__ for optimizer in context.optimizers] == ["AdamW"]


def test_rprop_gets_no_weight_decay():
    context = context_of(of_matrices(), {"name": "rprop"})
    manual_step(context)
    assert groups_of(context) == [[(1.0, None, 3)]]
