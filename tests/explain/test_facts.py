from __future__ import annotations

import dataclasses

from trainloop.explain.step import explain_step


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


def test_a_bias_beside_muon_belongs_to_adamw(tiny):
    run = dataclasses.replace(tiny.net_run("optimizer.name=muon"), builtin_but_update=tiny.net_run().builtin)
    explained = explain_step(run, param="norm.bias")
    assert explained.subject.optimizer == "adamw"
    assert explained.step.file == "trainloop/manual/optim/adamw.py"


def test_muon_says_why_it_differs(tiny):
    explained = tiny.explained("optimizer.name=muon")
    assert explained.step.deviation == "torch's Muon rounds to bfloat16 and takes matrices only"
    assert not explained.step.builtin_missing
