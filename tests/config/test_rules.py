from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from trainloop.config import LoadedConfig, RunConfig
from trainloop.config.optimizers import SGDConfig
from trainloop.config.rules import TRAIN_SIZES
from trainloop.config.schema import DataConfig
from trainloop.errors import Fault

Refuse = Callable[..., tuple[Fault, ...]]
Load = Callable[..., LoadedConfig]

ALL_MANUAL = "stages: {forward: manual, loss: manual, backward: manual}\n"

# (text, line:column, what, found, part of expected)
MISFITS = [
    (
        "stages: {forward: manual}",
        "1:19",
        "the stages forward, loss and backward go together, but are: forward manual, loss builtin, backward builtin",
        "stages.forward: manual",
        "all three builtin or all three manual",
    ),
    (
        "mode: manual\nstages: {loss: builtin}",
        "2:16",
        "the stages forward, loss and backward go together, but are: forward manual, loss builtin, backward manual",
        "stages.loss: builtin, with mode: manual (c.yaml:1:7)",
        "all three builtin",
    ),
    (
        "train: {precision: bf16}\nmode: manual",
        "1:20",
        "train.precision bf16 needs builtin forward, loss and backward",
        "train.precision: bf16, with mode: manual (c.yaml:2:7)",
        "fp32, or those stages builtin",
    ),
    (
        "train: {precision: fp16}\nstages: {step: manual}",
        "1:20",
        "train.precision fp16 needs builtin forward, loss, backward, sync and step",
        "train.precision: fp16, with stages.step: manual (c.yaml:2:16)",
        "fp32, or those stages builtin",
    ),
    (
        "train: {precision: fp16}\nstages: {step: foreach}",
        "1:20",
        "train.precision fp16 needs builtin forward, loss, backward, sync and step",
        "train.precision: fp16, with stages.step: foreach (c.yaml:2:16)",
        "fp32, or those stages builtin",
    ),
    (
        ALL_MANUAL + "train: {compile: true}",
        "2:18",
        "train.compile needs builtin forward, loss and backward",
        "train.compile: true, with stages.forward: manual (c.yaml:1:19); stages.loss: manual (c.yaml:1:33); "
        "stages.backward: manual (c.yaml:1:51)",
        "false, or those stages builtin",
    ),
    (
        "data: {dataset: folder}",
        "1:17",
        "data.dataset folder needs data.path",
        "data.dataset: folder",
        "the folder that holds train/<class>/*.png",
    ),
    (
        "data: {path: images}",
        "1:14",
        "data.path has no effect with data.dataset cifar10-mini, whose images are inside the package",
        "data.path: images",
        "no path, or data.dataset cifar10 or folder",
    ),
    (
        "data: {val_size: 2000}",
        "1:18",
        "data.val_size 2000 leaves no image to train on",
        "data.val_size: 2000",
        "a whole number < 2000 (cifar10-mini has 2,000 training images)",
    ),
    (
        "schedule: {warmup_epochs: 3}\ntrain: {epochs: 2}",
        "1:27",
        "schedule.warmup_epochs 3 is not shorter than the run, train.epochs 2",
        "schedule.warmup_epochs: 3, with train.epochs: 2 (c.yaml:2:17)",
        "a number < 2",
    ),
    (
        "schedule: {name: multistep, milestones: [3, 3]}",
        "1:41",
        "schedule.milestones must rise from one to the next",
        "schedule.milestones: [3, 3]",
        "rising epochs, such as [30, 60, 80]",
    ),
    (
        "train: {accumulation_steps: 4, batch_size: 2}",
        "1:29",
        "train.accumulation_steps 4 splits a batch of 2 into empty parts",
        "train.accumulation_steps: 4, with train.batch_size: 2 (c.yaml:1:44)",
        "a whole number from 1 to 2",
    ),
    (
        "optimizer: {nesterov: true, momentum: 0}",
        "1:23",
        "optimizer.nesterov needs momentum > 0 and dampening 0, found momentum 0 and dampening 0",
        "optimizer.nesterov: true, with optimizer.momentum: 0 (c.yaml:1:39)",
        "nesterov false, or momentum > 0 and dampening 0",
    ),
    (
        "optimizer: {name: rprop, step_sizes: [2, 0.5]}",
        "1:38",
        "optimizer.step_sizes: the smallest, 2, is above the largest, 0.5",
        "optimizer.step_sizes: [2, 0.5]",
        "the smaller one first, such as [1.0e-06, 50.0]",
    ),
    (
        "optimizer: {name: rprop, groups: [{match: a, weight_decay: 0}]}",
        "1:34",
        "optimizer rprop has no weight decay, so a group cannot have one",
        "optimizer.groups: [{match: a, weight_decay: 0}], with optimizer.name: rprop (c.yaml:1:19)",
        "groups without weight_decay, or another optimizer",
    ),
]


@pytest.mark.parametrize(("text", "place", "what", "found", "expected"), MISFITS, ids=[row[0] for row in MISFITS])
def test_a_misfit_points_to_the_key_to_blame(
    refuse: Refuse, text: str, place: str, what: str, found: str, expected: str
) -> None:
    (fault,) = refuse(text)
    assert (fault.where, fault.what, fault.found) == (f"c.yaml:{place}", what, found)
    assert expected in fault.expected


def test_an_override_that_causes_a_misfit_is_named(refuse: Refuse) -> None:
    (fault,) = refuse("train: {precision: bf16}", "mode=manual")
    assert fault.found == "train.precision: bf16, with mode: manual (--set mode=manual)"


def test_several_misfits_are_reported_at_once(refuse: Refuse) -> None:
    assert len(refuse("mode: manual\ntrain: {precision: fp16, compile: true}\ndata: {dataset: folder}")) == 3


@pytest.mark.parametrize(
    "text",
    [
        "mode: manual",
        ALL_MANUAL,
        "mode: manual\nstages: {forward: builtin, loss: builtin, backward: builtin}\ntrain: {compile: true}",
        "stages: {step: manual, zero_grad: manual}",
        "stages: {step: manual}\ntrain: {precision: bf16}",
        "stages: {zero_grad: manual}\ntrain: {precision: fp16}",
        "data: {dataset: folder, path: images}",
        "data: {dataset: cifar10, path: images, val_size: 49999}",
        "train: {clip_grad_norm: 1, clip_grad_value: 0.5}",
        "train: {accumulation_steps: 128}",
        "optimizer: {name: rprop, step_sizes: [0.5, 0.5], groups: [{match: a, lr_scale: 2}]}",
        "optimizer: {name: muon, momentum: 0}",
    ],
)
def test_what_goes_together(load: Load, text: str) -> None:
    assert isinstance(load(text).config, RunConfig)


def test_the_rules_hold_for_configs_made_in_python_too() -> None:
    with pytest.raises(ValidationError, match=r"data\.dataset folder needs data\.path"):
        RunConfig(data=DataConfig(dataset="folder"))
    with pytest.raises(ValidationError, match=r"nesterov needs momentum > 0"):
        RunConfig(optimizer=SGDConfig(nesterov=True, momentum=0.0))


def test_the_embedded_set_has_the_size_the_rule_assumes() -> None:
    from trainloop.data import embedded

    assert embedded.__doc__ is not None
    assert f"{TRAIN_SIZES['cifar10-mini']:,} training" in embedded.__doc__
