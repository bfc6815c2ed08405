"""A step of the reference, written down; being observed changes no bit of it."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.implementation import REFERENCE
from trainloop.compare.key import STAGES, Key
from trainloop.compare.record import State, differentiate, group_settings, observe, shared_memory
from trainloop.data.pipeline import Batch
from trainloop.loop.step import train_step
from trainloop.report.weights import weights_sha256

pytestmark = pytest.mark.usefixtures("one_thread")


def net(p=0.5):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(p), nn.Linear(64, 5)
    )


def side(**changes):
    recipe = {"model": net(), "optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, foreach=False)}
    return TrainingStep(**{**recipe, **changes}).implementation(REFERENCE).side()


def batch(number=0, size=5):
    generator = torch.Generator().manual_seed(number)
    return Batch(torch.randn(size, 3, 6, 6, generator=generator), torch.arange(size) % 5, torch.arange(size))


def observed(own, **options):
    return observe(own, batch(), 1.0, case="config", step=1, **options)


CONDITIONS = {
    "autograd": {},
    "tape": {"tape": True},
    "parts": {"parts": 3},
    "parts on a tape": {"parts": 3, "tape": True},
    "clipping": {"clip": lambda params: nn.utils.clip_grad_norm_(params, 0.1)},
    "adamw": {"optimizer": partial(torch.optim.AdamW, lr=0.01)},
    "channels last": {"model": net().to(memory_format=torch.channels_last)},
    "in place": {"model": nn.Sequential(nn.Flatten(), nn.Linear(108, 5), nn.ReLU(inplace=True), nn.Linear(5, 5))},
    "float64": {"model": net().double()},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_an_observed_run_has_the_bits_of_an_unobserved_one(name):
    changes = CONDITIONS[name]
    watched, alone = side(**copy.copy(changes)), side(**copy.copy(changes))
    dtype = next(alone.model.parameters()).dtype
    torch.manual_seed(7)
    for number in range(3):
        observe(watched, batch(number), 1.0, case="config", step=number + 1)
    torch.manual_seed(7)
    for number in range(3):
        images = batch(number)
        train_step(alone.stages, Batch(images.x.to(dtype), images.y, images.indices), changes.get("parts", 1), 1.0)
    assert weights_sha256(watched.model) == weights_sha256(alone.model)


def test_every_stage_has_outputs():
    record = observed(side())
    assert tuple(record.outputs) == STAGES
    assert all(record.outputs[stage] for stage in STAGES)


def test_the_outputs_of_the_forward_are_activations_logits_and_buffers():
    kinds = {key.kind for key in observed(side()).outputs["forward"]}
    assert kinds == {"activation", "logits", "buffer"}


def test_the_outputs_of_the_step_are_parameters_and_state():
    assert {key.kind for key in observed(side()).outputs["step"]} == {"param", "state"}


def test_what_was_held_before_is_kept_as_a_copy():
    own = side()
    start = {name: param.detach().clone() for name, param in own.params().items()}
    record = observed(own)
    assert all(torch.equal(start[name], value) for name, value in record.before.params.items())
    assert not torch.equal(record.before.params["0.weight"], own.params()["0.weight"])


def test_the_gradients_after_a_stage_are_those_of_this_stage():
    record = observed(side(clip=lambda params: nn.utils.clip_grad_value_(params, 1e-3)))
    assert record.grads_after("zero_grad") == dict.fromkeys(record.before.params)
    assert record.grads_after("backward")["5.bias"].abs().max() > 1e-3
    assert record.grads_after("sync")["5.bias"].abs().max() <= 1e-3


def test_the_logits_and_the_loss_are_those_of_the_whole_batch():
    whole, parts = observed(side(model=net(p=0.0).eval())), observed(side(model=net(p=0.0).eval(), parts=3))
    assert parts.logits.shape == (5, 5)
    assert torch.allclose(whole.logits, parts.logits, atol=1e-6)
    loss = Key("loss")
    assert torch.allclose(whole.outputs["loss"][loss], parts.outputs["loss"][loss], atol=1e-6)


def test_the_activations_of_parts_are_put_together():
    assert observed(side(parts=3)).activations()["0"].shape == (5, 4, 4, 4)


def test_the_batch_itself_is_left_alone():
    images = batch()

    class Doubles(nn.Sequential):
        def forward(self, x):
            with torch.no_grad():
                x.mul_(2)
            return super().forward(x)

    observe(side(model=Doubles(*net())), images, 1.0, case="config", step=1)
    assert torch.equal(images.x, batch().x)


def test_changed_images_are_noticed():
    own = side()
    inner = own.stages.forward

    def forward(x):
        with torch.no_grad():
            x.mul_(2)
        return inner(x)

    own.stages = type(own.stages)(**{**vars(own.stages), "forward": forward})
    assert differentiate(own, batch(), 1).changed_inputs


def test_images_with_a_nan_are_not_taken_for_changed():
    images = batch()
    images.x[0] = torch.nan
    assert not differentiate(side(), images, 1).changed_inputs


def test_the_settings_of_a_group_are_kept_for_each_parameter():
    settings = group_settings(side())
    assert settings["0.weight"]["momentum"] == 0.9
    assert settings["0.weight"]["optimizer"] == "SGD"
    assert "params" not in settings["0.weight"]


def test_a_frozen_parameter_has_no_gradient_to_record():
    model = net()
    model[0].weight.requires_grad_(False)
    record = observed(side(model=model))
    assert "0.weight" not in record.grads_after("backward")
    assert "0.weight" in record.before.params


def test_a_parameter_that_is_not_used_has_none():
    model = net()
    model[1].extra = nn.Parameter(torch.ones(2))
    assert observed(side(model=model)).grads_after("backward")["1.extra"] is None


def test_the_state_before_is_of_the_side():
    own = side()
    observed(own)
    state = State.of(own)
    assert torch.equal(
        state.optimizer["0.weight", "momentum_buffer"], own.optimizer_state()["0.weight", "momentum_buffer"]
    )


def test_gradients_in_one_memory_are_noticed_and_parts_of_one_buffer_are_not():
    buffer = torch.zeros(6)
    side_by_side = {"a": buffer[:3], "b": buffer[3:], "c": None}
    assert shared_memory(side_by_side) == {}
    assert shared_memory({"a": buffer[:4], "b": buffer[2:]}) == {"b": "a"}
    assert shared_memory({"a": buffer, "b": buffer}) == {"b": "a"}
