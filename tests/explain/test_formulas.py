from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest

from trainloop.explain.formulas import VJPS, first_block, first_line, gradient_formula
from trainloop.manual.optim import OPTIMIZERS


def node(name, vjp=None):
    return SimpleNamespace(name=name, form=SimpleNamespace(vjp=vjp))


@pytest.mark.parametrize(
    ("rule", "formula"),
    [
        ("relu", "grad_input = 0 where y ≤ 0, else g"),
        ("linear", "grad_X = G W, grad_W = Gᵀ X, grad_b = Σ G over all rows"),
        ("max_pool2d_with_indices", "grad_input = 0, and at each maximum"),
        ("batch_norm", "grad_input = (h − E[h] − x̂ · E[h · x̂]) / √(var + eps)"),
        ("conv2d", "grad_weight[o, c, k] = Σ_(n, p) grad_output[n, o, p] · x["),
        ("cross_entropy", "grad_logits = p Σ_k q_k − q"),
    ],
)
def test_a_formula_stands_in_the_rule_or_its_file(rule, formula):
    assert gradient_formula(node(rule)).startswith(formula)


def test_most_rules_tell_their_formula():
    without = [name for name in VJPS if not gradient_formula(node(name))]
    assert len(without) < len(VJPS) / 10, without


def test_a_rule_of_the_users_own_is_asked_itself():
    def vjp():
        """grad_input = g / 3.   Source: nobody."""

    assert gradient_formula(node("thirds", functools.partial(vjp))) == "grad_input = g / 3"


def test_a_rule_without_words_has_no_formula():
    assert gradient_formula(node("mute", lambda: None)) == ""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_opens_with_its_formula(name):
    module = __import__(OPTIMIZERS[name].__module__, fromlist=["x"])
    lines = first_block(module.__doc__)
    assert any("←" in line for line in lines)
    assert all(lines)


def test_the_first_block_ends_at_the_first_line_without_indentation():
    assert first_block("Title.\n\n    a = 1\n    b = 2\n\nText.\n\n    c = 3\n") == ("a = 1", "b = 2")


def test_a_first_line_says_what_is_returned():
    assert first_line("Return the lr, and more. Source: x\n\nArgs") == "the lr, and more"
    assert first_line("Return nothing: it is in the state.") == ""
