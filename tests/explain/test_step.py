from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from trainloop.data.pipeline import Batch
from trainloop.errors import ConfigError, UsageError
from trainloop.explain.run import side_maker
from trainloop.explain.step import explain_step
from trainloop.loop.step import train_step
from trainloop.manual.optim import OPTIMIZERS
from trainloop.tolerance import tolerance


def close(value):
    return pytest.approx(value, rel=tolerance("float32", "output").rtol)


class Net(nn.Module):
    """Batch norm and dropout, whose states both paths must share."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))


def net_run(tiny, *overrides, parts=1, clips=False, total_steps=None):
    """A run of Net on two batches, with the real loss."""
    torch.manual_seed(1)
    model = Net()
    x, y = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    batches = [Batch(x[:4], y[:4], torch.arange(4)), Batch(x[4:], y[4:], torch.arange(4, 8))]
    manual, builtin = tiny.configs(*overrides)
    sides = {"manual": side_maker(manual, torch.device("cpu")), "builtin": side_maker(builtin, torch.device("cpu"))}
    return dataclasses.replace(
        tiny.run(*overrides),
        built_in=False,
        model=model,
        epoch_batches=lambda _epoch: iter(batches),
        parts=parts,
        clips=clips,
        total_steps=total_steps,
        **sides,
    )


def test_the_first_step_by_hand(tiny):
    explained = tiny.explained("optimizer.momentum=0", index="0,1")
    assert (explained.zero_grad.grad_before, explained.zero_grad.grad_after) == (None, None)
    assert explained.forward.loss.manual == 1.0
    assert explained.backward.grads == (None, 4.0)
    assert explained.step.before == 0.5
    (moved,) = explained.step.operations
    assert (moved.symbols, moved.numbers) == ("param − lr·grad", "0.5 − 0.1·4")
    assert moved.value == explained.step.after.manual == close(0.1)


def test_both_paths_agree_in_every_bit(tiny):
    explained = tiny.explained()
    for compared in (explained.forward.loss, explained.backward.grad, explained.step.after):
        assert compared.same_bits
        assert compared.ulps == 0
    assert explained.backward.all_grads.same_bits == explained.backward.all_grads.tensors == 3
    assert explained.step.all_params.same_bits == explained.step.all_params.tensors == 5


COMPARABLE = [name for name, kind in OPTIMIZERS.items() if kind.deviation_reason is None]


@pytest.mark.parametrize("name", COMPARABLE)
@pytest.mark.parametrize("step", [1, 3])
def test_every_optimizer_is_explained_and_has_torchs_bits(tiny, name, step):
    explained = tiny.explained(f"optimizer.name={name}", step=step)
    assert explained.subject.optimizer == name
    assert explained.step.operations[-1].value is not None
    assert explained.step.after.same_bits
    assert explained.step.file == OPTIMIZERS[name].__module__.replace(".", "/") + ".py"


def test_muon_says_why_it_differs(tiny):
    explained = tiny.explained("optimizer.name=muon")
    assert explained.step.deviation == "torch's Muon rounds to bfloat16 and takes matrices only"
    assert not explained.step.builtin_missing


def test_muon_of_a_convolution_has_no_built_in_update_but_built_in_gradients(tiny):
    run = net_run(tiny, "optimizer.name=muon")
    run = dataclasses.replace(run, builtin_but_update=net_run(tiny).builtin)
    explained = explain_step(run, param="conv.weight")
    assert "torch.optim.Muon takes matrices only" in explained.step.builtin_missing
    assert explained.step.after.builtin is None
    assert explained.step.all_params.tensors == 0
    assert explained.backward.grad.same_bits


def test_a_bias_beside_muon_belongs_to_adamw(tiny):
    run = dataclasses.replace(net_run(tiny, "optimizer.name=muon"), builtin_but_update=net_run(tiny).builtin)
    explained = explain_step(run, param="norm.bias")
    assert explained.subject.optimizer == "adamw"
    assert explained.step.file == "trainloop/manual/optim/adamw.py"


def test_a_later_step_stands_where_training_stands(tiny):
    run, trained = net_run(tiny), net_run(tiny)
    side = trained.manual(trained.model)
    torch.manual_seed(0)
    for number, batch in zip(range(3), trained.batches(), strict=False):
        train_step(side.stages, batch, 1, trained.lr(number))
    torch.manual_seed(0)
    explained = explain_step(run, param="conv.weight", step=3)
    for one, two in zip(run.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert explained.step.after.manual == trained.model.conv.weight[0, 0, 0, 0].item()
    assert explained.zero_grad.grad_before is not None
    assert explained.zero_grad.grad_after is None


def test_dropout_draws_the_same_on_both_paths(tiny):
    explained = explain_step(net_run(tiny), param="conv.weight", step=2)
    assert explained.forward.loss.same_bits
    assert explained.step.after.same_bits


def test_a_batch_in_parts_shows_each_sum(tiny):
    explained = explain_step(net_run(tiny, parts=2), param="head.bias")
    none, first, both = explained.backward.grads
    assert none is None
    assert first != both
    assert explained.backward.grad.manual == both
    assert explained.backward.grad.same_bits
    assert len(explained.backward.uses) == 1


def test_clipping_is_a_stage_of_its_own(tiny):
    explained = explain_step(net_run(tiny, "train.clip_grad_value=0.001", clips=True), param="head.bias")
    assert explained.sync.clips
    assert abs(explained.sync.grad_before) > abs(explained.sync.grad_after)
    assert explained.step.after.same_bits


def test_two_backwards_double_the_gradient_and_change_the_step(tiny):
    lesson = tiny.explained("optimizer.momentum=0").without_zero_grad
    assert (lesson.grad_once, lesson.grad_twice) == (2.0, 4.0)
    assert lesson.after_once == close(0.8)
    assert lesson.after_twice == close(0.6)


def test_two_backwards_are_of_one_forward(tiny):
    lesson = explain_step(net_run(tiny, parts=2), param="conv.weight").without_zero_grad
    assert lesson.grad_twice == 2 * lesson.grad_once


def test_a_zero_gradient_moves_by_momentum_and_none_does_not(tiny):
    lesson = tiny.explained("optimizer.momentum=0.9").none_or_zero
    assert lesson.before == lesson.after_none
    assert lesson.after_zero == close(lesson.before - 0.1 * 0.9 * 2)
    assert lesson.state == ("momentum_buffer",)


def test_a_zero_gradient_moves_by_weight_decay_even_what_is_unused(tiny):
    lesson = tiny.explained("optimizer.name=adamw", param="unused").none_or_zero
    assert lesson.before == lesson.after_none == 0.25
    assert lesson.after_zero == close(0.25 * (1 - 1e-3 * 1e-2))
    assert lesson.state == ()


def test_without_momentum_and_decay_zero_is_like_none(tiny):
    lesson = tiny.explained("optimizer.momentum=0").none_or_zero
    assert lesson.before == lesson.after_none == lesson.after_zero


def test_an_unused_parameter_keeps_none_and_is_passed_over(tiny):
    explained = tiny.explained(param="unused")
    assert explained.backward.grads == (None, None)
    assert explained.backward.uses == ()
    assert explained.step.operations == ()
    assert explained.step.before == explained.step.after.manual


def test_a_frozen_parameter_is_not_the_optimizers(tiny):
    explained = tiny.explained(param="scale")
    assert not explained.weight.requires_grad
    assert not explained.none_or_zero.updated
    assert explained.none_or_zero.after_zero == 2.0


def test_parameters_without_a_gradient_are_named_with_the_reason(tiny):
    without = tiny.explained().backward.without_grad
    assert [(entry.param, entry.frozen) for entry in without] == [("scale", True), ("unused", False)]


def test_the_hyper_parameters_are_those_of_the_weights_group(tiny):
    groups = "optimizer.groups=[{match: last.*, lr_scale: 0.5, weight_decay: 0.1}]"
    explained = tiny.explained(groups, param="last.weight")
    assert explained.subject.hyper_parameters["lr"] == 0.05
    assert explained.subject.hyper_parameters["weight_decay"] == 0.1


def test_a_faulty_update_is_seen_in_the_last_bits(tiny, monkeypatch):
    plain = OPTIMIZERS["sgd"].update

    def update(self, param, grad, state, scalars, group):
        new, new_state = plain(self, param, grad, state, scalars, group)
        return torch.nextafter(new, new + 1), new_state

    monkeypatch.setattr(OPTIMIZERS["sgd"], "update", update)
    explained = explain_step(tiny.run())
    assert explained.backward.grad.same_bits
    assert (explained.step.after.same_bits, explained.step.after.ulps) == (False, 1)
    # Three parameters have a gradient and are moved; scale and unused stand still on both paths.
    assert explained.step.all_params.same_bits == 2


@pytest.mark.parametrize(
    ("total_steps", "step", "expected"), [(2, 3, "1 to 2"), (2, 0, "1 to 2"), (None, -1, "1 or more")]
)
def test_a_step_that_the_run_has_not_is_refused(tiny, total_steps, step, expected):
    with pytest.raises(UsageError) as caught:
        explain_step(net_run(tiny, total_steps=total_steps), step=step)
    fault = caught.value.faults[0]
    assert (fault.what, fault.where) == ("the run has no such step", "--step")
    assert (fault.found, fault.expected) == (str(step), expected)


def test_a_group_without_a_match_is_a_fault_of_the_config(tiny):
    with pytest.raises(ConfigError, match="matches no parameter"):
        tiny.explained("optimizer.groups=[{match: nothing}]")


def test_results_are_frozen(tiny):
    explained = tiny.explained()
    for part in (explained, *vars(explained).values()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.anything = 1
