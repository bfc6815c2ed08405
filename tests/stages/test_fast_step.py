"""The step in its fast forms: the weights of torch.optim's step, and what a run is told when a form cannot be had."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.errors import StageError
from trainloop.stages import build_stages, stage_modes
from trainloop.stages.context import StageContext
from trainloop.tolerance import tolerance

CPU = torch.device("cpu")
FORMS = ("foreach", "compiled")
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
GROUPS = ({"match": "*.bias", "lr_scale": 8.0, "weight_decay": 0.0},)


def config_of(step, optimizer):
    return RunConfig.model_validate({"stages": {"step": step}, "optimizer": optimizer})


def weights_after(step, optimizer, steps=8):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    model = model.to(memory_format=torch.channels_last)
    stages = build_stages(StageContext(model, config_of(step, optimizer), CPU))
    generator = torch.Generator().manual_seed(1)
    for index in range(steps):
        stages.zero_grad()
        for param in model.parameters():
            param.grad = torch.randn(param.shape, generator=generator)
        stages.step(0.1 / (1 + index))
    return torch.cat([param.detach().flatten() for param in model.parameters()])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimizer", [SGD, {**SGD, "groups": GROUPS}], ids=["plain", "groups"])
def test_sgd_has_the_bits_of_torchs(form, optimizer):
    assert torch.equal(weights_after(form, optimizer), weights_after("builtin", optimizer))


@pytest.mark.parametrize("form", FORMS)
def test_adamw_is_torchs_up_to_the_rounding_of_a_root(form):
    ours, theirs = (weights_after(step, {"name": "adamw"}) for step in (form, "builtin"))
    assert (ours - theirs).abs().max().item() <= tolerance("float32", "state").bound(theirs.abs().max().item())


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_the_steps_alone(form):
    chosen = stage_modes(config_of(form, SGD))
    assert chosen.pop("step") == form
    assert set(chosen.values()) == {"builtin"}


@pytest.mark.parametrize("form", FORMS)
def test_an_optimizer_without_fast_forms_is_refused_by_name(form):
    with pytest.raises(StageError) as caught:
        weights_after(form, {"name": "adafactor"})
    (fault,) = caught.value.faults
    assert (fault.what, fault.where) == ("this form of the step cannot be had", "stages.step")
    assert fault.found.startswith("Adafactor has no fast form: its state row_var has the shape")
    assert fault.help == "--set stages.step=manual"


def test_a_missing_compiler_is_an_error_with_a_way_out(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(StageError) as caught:
        weights_after("compiled", {**SGD, "momentum": 0.75})
    (fault,) = caught.value.faults
    assert "needs a C++ compiler with OpenMP, and 'no-such-compiler' does not work" in fault.found
    assert "install g++" in fault.found
    assert fault.help == "--set stages.step=foreach"
    assert caught.value.exit_code == 2
