from __future__ import annotations

import dataclasses

import pytest

from trainloop.errors import ConfigError
from trainloop.explain.step import explain_step


def test_muon_of_a_convolution_has_no_built_in_update_but_built_in_gradients(tiny):
    run = tiny.net_run("optimizer.name=muon")
    run = dataclasses.replace(run, builtin_but_update=tiny.net_run().builtin)
    explained = explain_step(run, param="conv.weight")
    assert "torch.optim.Muon takes matrices only" in explained.step.builtin_missing
    assert explained.step.after.builtin is None
    assert explained.step.all_params.tensors == 0
    assert explained.backward.grad.same_bits


def test_dropout_draws_the_same_on_both_paths(tiny):
    explained = explain_step(tiny.net_run(), param="conv.weight", step=2)
    assert explained.forward.loss.same_bits
    assert explained.step.after.same_bits


def test_a_group_without_a_match_is_a_fault_of_the_config(tiny):
    with pytest.raises(ConfigError, match="matches no parameter"):
        tiny.explained("optimizer.groups=[{match: nothing}]")
