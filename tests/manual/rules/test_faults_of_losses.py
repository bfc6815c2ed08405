"""Small mistakes seeded into the losses and into attention: the table of examples must notice each."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from trainloop.manual.rules.attention import ATTENTION
from trainloop.manual.rules.loss import LOSS

spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).parent / "rule_cases.py")
rule_cases = importlib.util.module_from_spec(spec)
sys.modules["rule_cases"] = rule_cases
spec.loader.exec_module(rule_cases)

RULES_BY_NAME = {**LOSS, **ATTENTION}


def times(factor):
    """Multiply the first gradient."""
    return lambda right: lambda *args, **keywords: spoiled(right(*args, **keywords), 0, lambda grad: grad * factor)


def second(change):
    """Change the second gradient."""
    return lambda right: lambda *args, **keywords: spoiled(right(*args, **keywords), 1, change)


def spoiled(grads, index, change):
    if not isinstance(grads, tuple):
        return change(grads)
    return tuple(change(grad) if place == index and grad is not None else grad for place, grad in enumerate(grads))


def with_argument(index, value):
    """Call the right vjp with another argument: a weight forgotten, a reduction mistaken, …"""

    def fault(right):
        def vjp(*args, **keywords):
            return right(*args[:index], value, *args[index + 1 :], **keywords)

        return vjp

    return fault


def onehot_minus_probability(right):
    def vjp(grad_output, log_probs, *saved, **keywords):
        return spoiled(right(grad_output, log_probs, *saved, **keywords), 0, torch.neg)

    return vjp


def without_softmax(right):
    def vjp(grad_output, log_probs, *saved, **keywords):
        return right(grad_output, torch.zeros_like(log_probs), *saved, **keywords)

    return vjp


def kink_at_twice_beta(right):
    return lambda grad, x, t, reduction, beta, **keywords: right(grad, x, t, reduction, 2 * beta, **keywords)


def softmax_without_its_sum(right):
    def vjp(*args, **keywords):
        return right(*args, **keywords, softmax_backward=lambda grad, output, _dim: grad * output)

    return vjp


def scale_forgotten(right):
    def vjp(grad, q, k, v, probs, factors, *rest, **keywords):
        return right(grad, q, k, v, probs, type(factors)(1.0, 1.0), *rest, **keywords)

    return vjp


def without_noise(right):
    return lambda grad, q, k, v, probs, factors, repeats, *_noise, **keywords: right(
        grad, q, k, v, probs, factors, repeats, **keywords
    )


FAULTS = {
    "cross_entropy: the sign": ("cross_entropy", onehot_minus_probability),
    "cross_entropy: p of equal logits": ("cross_entropy", without_softmax),
    "cross_entropy: class weights forgotten": ("cross_entropy", with_argument(3, None)),
    "cross_entropy: ignore_index forgotten": ("cross_entropy", with_argument(4, -100)),
    "cross_entropy: a sum for a mean": ("cross_entropy", with_argument(5, "sum")),
    "cross_entropy: smoothing forgotten": ("cross_entropy", with_argument(6, 0.0)),
    "cross_entropy: the target's sign": ("cross_entropy", second(torch.neg)),
    "nll_loss: class weights forgotten": ("nll_loss", with_argument(3, None)),
    "nll_loss: ignore_index forgotten": ("nll_loss", with_argument(4, -100)),
    "nll_loss: a sum for a mean": ("nll_loss", with_argument(5, "sum")),
    "mse_loss: the 2 forgotten": ("mse_loss", times(0.5)),
    "mse_loss: the target's sign": ("mse_loss", second(torch.neg)),
    "mse_loss: weights forgotten": ("mse_loss", with_argument(3, None)),
    "l1_loss: the sign": ("l1_loss", times(-1)),
    "smooth_l1_loss: the kink elsewhere": ("smooth_l1_loss", kink_at_twice_beta),
    "huber_loss: weights forgotten": ("huber_loss", with_argument(3, None)),
    "huber_loss: delta of 1": ("huber_loss", with_argument(5, 1.0)),
    "binary_cross_entropy_with_logits: pos_weight forgotten": (
        "binary_cross_entropy_with_logits",
        with_argument(4, None),
    ),
    "binary_cross_entropy_with_logits: weight forgotten": ("binary_cross_entropy_with_logits", with_argument(3, None)),
    "binary_cross_entropy: weight forgotten": ("binary_cross_entropy", with_argument(3, None)),
    "binary_cross_entropy: the target's sign": ("binary_cross_entropy", second(torch.neg)),
    "attention: softmax without its sum": ("scaled_dot_product_attention", softmax_without_its_sum),
    "attention: the scale forgotten": ("scaled_dot_product_attention", scale_forgotten),
    "attention: the dropout forgotten": ("scaled_dot_product_attention", without_noise),
    "attention: keys not transposed": ("scaled_dot_product_attention", second(lambda grad: grad.flip(-1))),
}


def is_noticed(name, fault):
    right = RULES_BY_NAME[name].forms["formula"]
    return rule_cases.is_noticed(RULES_BY_NAME[name], rule_cases.with_vjp(right, fault(right.vjp)))


@pytest.mark.parametrize(("name", "fault"), FAULTS.values(), ids=FAULTS)
def test_the_fault_is_noticed(name, fault):
    assert is_noticed(name, fault)


@pytest.mark.parametrize("name", RULES_BY_NAME)
def test_without_a_fault_nothing_is_noticed(name):
    assert not is_noticed(name, lambda right: right)
