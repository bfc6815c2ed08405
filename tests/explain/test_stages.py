from __future__ import annotations

import torch

from trainloop.explain.step import explain_step
from trainloop.manual.optim import OPTIMIZERS


def test_a_batch_in_parts_shows_each_sum(tiny):
    explained = explain_step(tiny.net_run(parts=2), param="head.bias")
    none, first, both = explained.backward.grads
    assert none is None
    assert first != both
    assert explained.backward.grad.manual == both
    assert explained.backward.grad.same_bits
    assert len(explained.backward.uses) == 1


def test_clipping_is_a_stage_of_its_own(tiny):
    explained = explain_step(tiny.net_run("train.clip_grad_value=0.001", clips=True), param="head.bias")
    assert explained.sync.clips
    assert abs(explained.sync.grad_before) > abs(explained.sync.grad_after)
    assert explained.step.after.same_bits


def test_an_unused_parameter_keeps_none_and_is_passed_over(tiny):
    explained = tiny.explained(param="unused")
    assert explained.backward.grads == (None, None)
    assert explained.backward.uses == ()
    assert explained.step.operations == ()
    assert explained.step.before == explained.step.after.manual


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
