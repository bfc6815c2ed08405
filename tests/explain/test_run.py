from __future__ import annotations

import itertools

import torch

from trainloop.config import load_config
from trainloop.explain.run import configured_run
from trainloop.explain.step import explain_step
from trainloop.explain.tiny import TinyNet

SMALL = ("train.batch_size=8", "train.max_steps=3", "model.args={width: 4}", "threads=1")


def configured(*overrides):
    configs = [load_config(None, [*SMALL, *overrides, f"mode={mode}"]).config for mode in ("manual", "builtin")]
    return configured_run(*configs, lambda _text: None)


def test_a_config_names_model_data_and_length():
    run = configured()
    assert (run.name, run.data, run.total_steps, run.built_in, run.clips) == (
        "small_cnn",
        "cifar10-mini",
        3,
        False,
        False,
    )
    assert next(run.batches()).x.shape == (8, 3, 32, 32)
    assert run.model.training


def test_batches_go_on_over_epochs():
    run = configured("train.batch_size=1000")
    firsts = [batch.indices[0].item() for batch in itertools.islice(run.batches(), 3)]
    assert firsts[0] != firsts[2]


def test_any_limit_on_gradients_clips():
    assert configured("train.clip_grad_norm=1").clips
    assert configured("train.clip_grad_value=1").clips


def test_both_sides_work_on_the_model_they_are_given():
    run = configured()
    for make in (run.manual, run.builtin):
        side = make(run.model)
        owned = [
            param for optimizer in side.optimizers for group in optimizer.param_groups for param in group["params"]
        ]
        assert {id(param) for param in owned} == {id(param) for param in run.model.parameters()}


def test_the_form_of_the_rules_is_the_configs():
    explained = explain_step(configured("stages.rules=formula"))
    assert explained.backward.all_grads.same_bits < explained.backward.all_grads.tensors
    assert explained.forward.recorded == explain_step(configured()).forward.recorded


def test_the_built_in_example_has_one_sample_and_no_end(tiny):
    run = tiny.run()
    assert isinstance(run.model, TinyNet)
    assert run.total_steps is None
    batches = list(itertools.islice(run.batches(), 3))
    assert all(torch.equal(batch.x, batches[0].x) for batch in batches)


def test_the_built_in_example_takes_the_configs_lr(tiny):
    assert tiny.run("optimizer.lr=0.25").lr(7) == 0.25
