"""The central promise: builtin and manual stages give the same weights, bit for bit, for every model of the project."""

from __future__ import annotations

import pytest
import torch

from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.loop.step import train_step
from trainloop.manual.optim import OPTIMIZERS
from trainloop.models import MODELS, build_model
from trainloop.report.weights import weights_sha256
from trainloop.stages import STAGES, build_stages
from trainloop.stages.context import StageContext

STEPS = 50
BATCH_SIZE = 4
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}


def config_of(**changes):
    return RunConfig.model_validate({"optimizer": SGD, **changes})


def build(config, model_name="small_cnn"):
    torch.manual_seed(11)
    model = build_model(
        config.model.model_copy(update={"name": model_name}),
        num_classes=10,
        image_shape=(3, 32, 32),
        train_images=None,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model.train()
    torch.manual_seed(12)
    return model, build_stages(StageContext(model, config, torch.device("cpu")))


def batch_of(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(BATCH_SIZE, 3, 32, 32, generator=generator)
    return Batch(x, torch.randint(0, 10, (BATCH_SIZE,), generator=generator), torch.arange(BATCH_SIZE))


def digest_after(config, model_name="small_cnn", steps=STEPS):
    model, stages = build(config, model_name)
    losses = []
    for step in range(steps):
        # The lr changes at every step, as a schedule would have it.
        lr = config.optimizer.lr * (1 - step / (2 * STEPS))
        losses.append(train_step(stages, batch_of(step), config.train.accumulation_steps, lr).loss.item())
    assert all(loss == loss for loss in losses)
    return weights_sha256(model), losses


@pytest.mark.parametrize("model_name", MODELS)
def test_manual_has_the_bits_of_builtin_over_50_steps(model_name):
    builtin = digest_after(config_of(mode="builtin"), model_name)
    manual = digest_after(config_of(mode="manual"), model_name)
    assert manual == builtin


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": ADAMW},
        {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.8, "dampening": 0.2}},
        {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.0}},
        {"optimizer": {**SGD, "groups": ({"match": "*.bias", "lr_scale": 8.0, "weight_decay": 0.0},)}},
        {"train": {"accumulation_steps": 3}},
        {"train": {"clip_grad_norm": 0.5}},
        {"train": {"clip_grad_value": 0.01}},
        {"train": {"label_smoothing": 0.2}},
        {"train": {"channels_last": True, "clip_grad_norm": 0.5}},
    ],
    ids=str,
)
def test_manual_has_the_bits_of_builtin_with(changes):
    plain, _ = digest_after(config_of(), steps=10)
    builtin = digest_after(config_of(mode="builtin", **changes), steps=10)
    assert digest_after(config_of(mode="manual", **changes), steps=10) == builtin
    assert builtin[0] != plain, "this setting changes nothing, so the comparison shows nothing"


@pytest.mark.parametrize("name", [name for name, ours in OPTIMIZERS.items() if ours.deviation_reason is None])
def test_every_optimizer_has_the_bits_of_builtin(name):
    optimizer = {"name": name, "groups": ({"match": "*.bias", "lr_scale": 2.0},)}
    builtin = digest_after(config_of(mode="builtin", optimizer=optimizer), steps=10)
    assert digest_after(config_of(mode="manual", optimizer=optimizer), steps=10) == builtin
    assert builtin[0] != digest_after(config_of(optimizer=optimizer), steps=9)[0], "the last step changes nothing"


@pytest.mark.parametrize("stage", ["zero_grad", "sync", "step"])
def test_a_single_manual_stage_has_the_bits_of_builtin(stage):
    clipped = {"train": {"clip_grad_norm": 0.5}}
    builtin = digest_after(config_of(**clipped), steps=10)
    assert digest_after(config_of(**clipped, stages={stage: "manual"}), steps=10) == builtin
    assert digest_after(config_of(**clipped, mode="manual", stages={stage: "builtin"}), steps=10) == builtin


@pytest.mark.parametrize("stage", STAGES)
def test_the_comparison_notices_a_fault_in_any_stage(stage, monkeypatch):
    expected = digest_after(config_of(mode="manual"), steps=5)
    monkeypatch.setitem(STAGES[stage], "manual", FAULTS[stage](STAGES[stage]["manual"]))
    assert digest_after(config_of(mode="manual"), steps=5) != expected


def never_zero(_):
    return lambda _context: lambda: None


def noisy_forward(make):
    return lambda context: lambda x: make(context)(x * (1 + 2**-20))


def scaled_loss(make):
    return lambda context: lambda logits, labels, share: make(context)(logits, labels, share * (1 + 2**-20))


def scaled_backward(make):
    def build_backward(context):
        backward = make(context)

        def scaled(loss):
            backward(loss)
            for param in context.params:
                param.grad = param.grad * (1 + 2**-20)

        return scaled

    return build_backward


def late_sync(make):
    def build_sync(context):
        sync = make(context)
        return lambda: (sync(), [param.grad.mul_(1 + 2**-20) for param in context.params])

    return build_sync


def larger_step(make):
    def build_step(context):
        step = make(context)
        return lambda lr: step(lr * (1 + 2**-20))

    return build_step


FAULTS = {
    "zero_grad": never_zero,
    "forward": noisy_forward,
    "loss": scaled_loss,
    "backward": scaled_backward,
    "sync": late_sync,
    "step": larger_step,
}
