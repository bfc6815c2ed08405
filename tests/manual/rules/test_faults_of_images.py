"""Small mistakes seeded into convolution, pooling, norms and dropout: the examples must notice each."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from trainloop.manual import Tape
from trainloop.manual.rules import dropout, norm, norm_layer, norm_scale, pool, pool_adaptive
from trainloop.manual.rules.conv import CONV
from trainloop.manual.rules.conv_transpose import CONV_TRANSPOSE

spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).parent / "rule_cases.py")
rule_cases = importlib.util.module_from_spec(spec)
sys.modules["rule_cases"] = rule_cases
spec.loader.exec_module(rule_cases)

# torch says once that "same" padding of an even kernel copies its input; the copy is known, and harmless here.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

RULES_BY_NAME = {
    **CONV,
    **CONV_TRANSPOSE,
    **pool.POOL,
    **pool_adaptive.POOL_ADAPTIVE,
    **norm.NORM,
    **norm_layer.NORM_LAYER,
    **norm_scale.NORM_SCALE,
    **dropout.DROPOUT,
}


def gradient(index, change):
    """Change one of the gradients."""

    def fault(form):
        def vjp(*args, **keywords):
            grads = form.vjp(*args, **keywords)
            if not isinstance(grads, tuple):
                return change(grads)
            return tuple(
                change(grad) if place == index and grad is not None else grad for place, grad in enumerate(grads)
            )

        return rule_cases.with_vjp(form, vjp)

    return fault


def saved(index, change):
    """Change what the vjp finds saved."""

    def fault(form):
        def vjp(grad, *found, **keywords):
            value = found[index]
            wrong = None if value is None else change(value)
            return form.vjp(grad, *found[:index], wrong, *found[index + 1 :], **keywords)

        return rule_cases.with_vjp(form, vjp)

    return fault


def incoming(change):
    """Change the incoming gradient."""
    return lambda form: rule_cases.with_vjp(
        form,
        lambda grad, *found, **keywords: form.vjp(
            (change(grad[0]), None) if isinstance(grad, tuple) else change(grad), *found, **keywords
        ),
    )


def one_window_only(form):
    """Let the last window have what is added up over all."""

    def vjp(grads, indices, shape):
        planes = grads[0].new_zeros((*shape[:-2], shape[-2] * shape[-1]))
        return planes.scatter(-1, indices.flatten(-2), grads[0].flatten(-2)).view(shape)

    return rule_cases.with_vjp(form, vjp)


def ones(tensor):
    return torch.ones_like(tensor)


def flipped(tensor):
    return tensor.flip(-1)


FAULTS = {
    "conv2d: kernel flipped for the input": ("conv2d", saved(1, flipped)),
    "conv2d: gradient one pixel off": ("conv2d", gradient(0, lambda grad: grad.roll(1, -1))),
    "conv2d: groups taken in the wrong order": ("conv2d", gradient(1, lambda grad: grad.flip(0))),
    "conv2d: taps of the weight reversed": ("conv2d", gradient(1, flipped)),
    "conv2d: dilation forgotten": ("conv2d", saved(5, lambda geometry: geometry._replace(dilation=(1, 1)))),
    "conv2d: stride forgotten": ("conv2d", saved(5, lambda geometry: geometry._replace(stride=(1, 1)))),
    "conv2d: a mean over the batch": ("conv2d", gradient(1, lambda grad: grad / 2)),
    "conv2d: bias of one image": ("conv2d", gradient(2, lambda grad: grad / 2)),
    "conv_transpose2d: kernel flipped": ("conv_transpose2d", saved(1, flipped)),
    "conv_transpose2d: taps of the weight reversed": ("conv_transpose2d", gradient(1, flipped)),
    "conv_transpose2d: no bias": ("conv_transpose2d", gradient(2, torch.zeros_like)),
    "max_pool2d: windows overwrite each other": ("max_pool2d_with_indices", one_window_only),
    "max_pool2d: neighbour of the maximum": ("max_pool2d_with_indices", saved(0, lambda indices: indices.flip(-1))),
    "avg_pool2d: padding always counts": ("avg_pool2d", saved(5, lambda _include: True)),
    "avg_pool2d: padding never counts": ("avg_pool2d", saved(5, lambda _include: False)),
    "avg_pool2d: ceil_mode forgotten": ("avg_pool2d", saved(4, lambda _ceil_mode: False)),
    "avg_pool2d: divisor_override forgotten": ("avg_pool2d", saved(6, lambda _divisor: None)),
    "avg_pool2d: a sum": ("avg_pool2d", incoming(lambda grad: grad * 4)),
    "adaptive_avg_pool2d: rows for columns": ("adaptive_avg_pool2d", gradient(0, lambda grad: grad.flip(-2))),
    "batch_norm: the mean's share forgotten": ("batch_norm", incoming(lambda grad: grad - grad.mean((0,)))),
    "batch_norm: statistics taken for constants": ("batch_norm", saved(4, lambda _training: False)),
    "batch_norm: running statistics taken for the batch's": ("batch_norm", saved(4, lambda _training: True)),
    "batch_norm: weight forgotten": ("batch_norm", saved(1, ones)),
    "batch_norm: standard deviation for its inverse": ("batch_norm", saved(3, torch.reciprocal)),
    "batch_norm: not centred": ("batch_norm", saved(2, torch.zeros_like)),
    "instance_norm: mean over images": ("instance_norm", gradient(1, lambda grad: grad / 2)),
    "layer_norm: weight forgotten": ("layer_norm", saved(1, ones)),
    "layer_norm: one axis too few": ("layer_norm", saved(4, lambda _num_axes: 1)),
    "layer_norm: not centred": ("layer_norm", saved(2, torch.zeros_like)),
    "group_norm: weight forgotten": ("group_norm", saved(1, ones)),
    "group_norm: not centred": ("group_norm", saved(2, torch.zeros_like)),
    "rms_norm: r taken for a constant": ("rms_norm", saved(3, lambda axes: axes[:0])),
    "rms_norm: weight forgotten": ("rms_norm", saved(1, ones)),
    "dropout: not scaled": ("dropout", saved(0, torch.sign)),
    "dropout: the dropped for the kept": ("dropout", saved(0, lambda noise: noise.max() - noise)),
    "alpha_dropout: a forgotten": ("alpha_dropout", saved(0, torch.sign)),
    "dropout2d: scaled twice": ("dropout2d", saved(0, torch.square)),
}


@pytest.mark.parametrize(("name", "fault"), FAULTS.values(), ids=FAULTS)
def test_the_fault_is_noticed(name, fault):
    rule = RULES_BY_NAME[name]
    assert rule_cases.is_noticed(rule, fault(rule.forms["formula"]))


@pytest.mark.parametrize("name", sorted({name for name, _ in FAULTS.values()}))
def test_without_a_fault_nothing_is_noticed(name):
    rule = RULES_BY_NAME[name]
    right = rule.forms["formula"]
    assert not rule_cases.is_noticed(rule, rule_cases.with_vjp(right, right.vjp))


# Faults that no gradient shows: those of the running statistics.

right_update = norm.update_running
RUNNING_FAULTS = {
    "momentum weighs the old value": lambda m, v, mean, var, momentum, n: right_update(
        m, v, mean, var, 1 - momentum, n
    ),
    "the variance stays biased": lambda *args: right_update(*args[:5], 10**30),
    "two updates for one": lambda *args: (right_update(*args), right_update(*args)),
    "no update": lambda *_args: None,
    "mean and variance exchanged": lambda m, v, mean, var, momentum, n: right_update(m, v, var, mean, momentum, n),
}


def running_statistics(form):
    module = nn.BatchNorm2d(3).double()
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    with Tape(form=form):
        module(x)
    return torch.stack([module.running_mean, module.running_var])


@pytest.mark.parametrize("fault", RUNNING_FAULTS.values(), ids=RUNNING_FAULTS)
def test_a_fault_of_the_running_statistics_is_noticed(monkeypatch, assert_close, fault):
    expected = running_statistics("aten")
    assert_close(running_statistics("formula"), expected, "state")
    monkeypatch.setattr(norm, "update_running", fault)
    with pytest.raises(AssertionError):
        assert_close(running_statistics("formula"), expected, "state")
