"""Small mistakes seeded into activations, arithmetic, reductions, softmax and products: the examples must notice each."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

from trainloop.manual.rules import activation_smooth, extremum, linear, reduction, vector_norm
from trainloop.manual.rules.activation import ACTIVATION
from trainloop.manual.rules.arithmetic import ARITHMETIC
from trainloop.manual.rules.cast import CAST
from trainloop.manual.rules.elementwise import ELEMENTWISE
from trainloop.manual.rules.softmax import SOFTMAX

spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).parent / "rule_cases.py")
rule_cases = importlib.util.module_from_spec(spec)
sys.modules["rule_cases"] = rule_cases
spec.loader.exec_module(rule_cases)

RULES_BY_NAME = {
    **ACTIVATION,
    **activation_smooth.ACTIVATION_SMOOTH,
    **ARITHMETIC,
    **CAST,
    **ELEMENTWISE,
    **extremum.EXTREMUM,
    **linear.LINEAR,
    **reduction.REDUCTION,
    **SOFTMAX,
    **vector_norm.VECTOR_NORM,
}


def scaled(index, factor):
    """Multiply one of the gradients."""

    def fault(right):
        def vjp(*args, **keywords):
            grads = right(*args, **keywords)
            if not isinstance(grads, tuple):
                return grads * factor
            return tuple(
                grad * factor if place == index and grad is not None else grad for place, grad in enumerate(grads)
            )

        return vjp

    return fault


def saved(index, change):
    """Change what the vjp finds saved."""

    def fault(right):
        def vjp(grad, *found, **keywords):
            wrong = None if found[index] is None else change(found[index])
            return right(grad, *found[:index], wrong, *found[index + 1 :], **keywords)

        return vjp

    return fault


def instead(wrong):
    """Take another vjp altogether."""
    return lambda _right: wrong


def half_each(grad, *_saved, **_needs):
    return grad / 2, grad / 2


FAULTS = {
    "relu: everything passes": ("relu", instead(lambda g, _y: g)),
    "threshold: of zero": ("threshold", saved(1, lambda _threshold: 0.0)),
    "hardtanh: bounds forgotten": ("hardtanh", saved(2, lambda _max_val: 1.0)),
    "leaky_relu: sides exchanged": ("leaky_relu", saved(0, torch.neg)),
    "leaky_relu: slope of the default": ("leaky_relu", saved(1, lambda _slope: 0.01)),
    "prelu: weight's gradient over all of x": ("prelu", saved(0, lambda x: -x.abs())),
    "prelu: weight's gradient a mean": ("prelu", scaled(1, 0.5)),
    "hardsigmoid: a third": ("hardsigmoid", scaled(0, 2)),
    "hardsigmoid: no bounds": ("hardsigmoid", saved(0, torch.zeros_like)),
    "hardswish: 1/2 forgotten": ("hardswish", instead(lambda g, x: torch.where(x.abs() < 3, g * x / 3, g * (x > 0)))),
    "hardshrink: |x| forgotten": ("hardshrink", saved(0, lambda x: x.clamp_min(0))),
    "softshrink: lambd of the default": ("softshrink", saved(1, lambda _lambd: 0.5)),
    "rrelu: mean slope in training": ("rrelu", saved(0, lambda slope: torch.where(slope < 1, 11 / 48, slope))),
    "sigmoid: 1 − y forgotten": ("sigmoid", instead(lambda g, y: g * y)),
    "tanh: y for y²": ("tanh", instead(lambda g, y: g * (1 - y))),
    "logsigmoid: σ(x) for σ(−x)": ("logsigmoid", saved(0, torch.neg)),
    "silu: the factor's slope only": ("silu", instead(lambda g, x: g * torch.sigmoid(x))),
    "mish: softplus forgotten": ("mish", instead(lambda g, x: g * torch.tanh(x))),
    "gelu: density forgotten": ("gelu", instead(lambda g, x, _kind: g * 0.5 * (1 + torch.erf(x / math.sqrt(2))))),
    "gelu: always exact": ("gelu", saved(1, lambda _kind: "none")),
    "elu: alpha forgotten": ("elu", saved(1, lambda _alpha: 1.0)),
    "elu: the result taken for x": ("elu", saved(4, lambda is_result: not is_result)),
    "celu: slope of the inside forgotten": ("celu", saved(3, lambda _input_scale: 1.0)),
    "selu: scale forgotten": ("selu", saved(2, lambda _scale: 1.0)),
    "softplus: beta forgotten": ("softplus", saved(1, lambda _beta: 1.0)),
    "softplus: threshold forgotten": ("softplus", saved(2, lambda _threshold: -math.inf)),
    "glu: halves exchanged": ("glu", instead(lambda g, x, d: activation_smooth.glu_vjp(g, x, d).flip(d))),
    "add: alpha forgotten": ("add", saved(0, lambda _alpha: 1)),
    "sub: sign of b": ("sub", scaled(1, -1)),
    "rsub: sign of a": ("rsub", scaled(0, -1)),
    "mul: factors exchanged": (
        "mul",
        instead(lambda g, b, a: (None if a is None else g * a, None if b is None else g * b)),
    ),
    "div: a / b for a / b²": (
        "div",
        instead(lambda g, a, b, _rounded, **_needs: (g / b, None if a is None else -g * a / b)),
    ),
    "div: rounding forgotten": ("div", saved(2, lambda _rounded: False)),
    "neg: sign": ("neg", scaled(0, -1)),
    "pow: exponent of the base not lowered": (
        "pow",
        instead(
            lambda g, a, b, y, needs: (
                g * b * a**b if needs[0] else None,
                g * y * torch.tensor(a).log() if needs[1] else None,
            )
        ),
    ),
    "pow: logarithm to the base 2": ("pow", scaled(1, 1 / math.log(2))),
    "square: 2 forgotten": ("square", scaled(0, 0.5)),
    "remainder: truncated for floored": ("remainder", saved(2, lambda _mode: "trunc")),
    "fmod: floored for truncated": ("fmod", saved(2, lambda _mode: "floor")),
    "addcmul: value forgotten": ("addcmul", saved(2, lambda _value: 1)),
    "addcmul: factors exchanged": ("addcmul", instead(lambda g, b, c, value: (g, g * b * value, g * c * value))),
    "addcdiv: sign of the divisor": ("addcdiv", scaled(2, -1)),
    "addcdiv: value forgotten": ("addcdiv", saved(2, lambda _value: 1)),
    "lerp: w for 1 − w": ("lerp", saved(0, lambda weight: 1 - weight)),
    "clone: twice": ("clone", scaled(0, 2)),
    "to: twice": ("to", scaled(0, 2)),
    "exp: nothing multiplied": ("exp", instead(lambda g, _y: g)),
    "exp2: log 2 forgotten": ("exp2", scaled(0, 1 / math.log(2))),
    "expm1: 1 forgotten": ("expm1", saved(0, lambda y: y - 1)),
    "log: of y": ("log", saved(0, torch.log)),
    "log1p: 1 forgotten": ("log1p", saved(0, lambda x: x - 1)),
    "log10: log 10 forgotten": ("log10", scaled(0, math.log(10))),
    "sqrt: x for y": ("sqrt", saved(0, torch.square)),
    "rsqrt: y² for y³": ("rsqrt", instead(lambda g, y: -0.5 * g * y**2)),
    "reciprocal: sign": ("reciprocal", scaled(0, -1)),
    "abs: no sign": ("abs", saved(0, torch.abs)),
    "sin: sign": ("sin", scaled(0, -1)),
    "cos: sign": ("cos", scaled(0, -1)),
    "atan: 1 forgotten": ("atan", instead(lambda g, x: g / (x * x))),
    "erf: √π forgotten": ("erf", scaled(0, math.sqrt(math.pi))),
    "floor: straight through": ("floor", instead(lambda g: g)),
    "round: straight through": ("round", instead(lambda g: g)),
    "sum: a mean": ("sum", scaled(0, 0.5)),
    "mean: of all": (
        "mean",
        instead(lambda g, shape, dim, keep: reduction.sum_vjp(g, shape, dim, keep) / shape.numel()),
    ),
    "var: correction forgotten": ("var", saved(2, lambda _correction: 0)),
    "var: not centred": (
        "var",
        instead(
            lambda g, x, dim, correction, keep: (
                2
                / (reduction.count(x.shape, dim) - correction)
                * reduction.restored(g, x.dim(), dim, keep)
                * x
                * torch.ones_like(x)
            )
        ),
    ),
    "std: the variance's": ("std", instead(lambda g, x, _y, *rest: reduction.var_vjp(g, x, *rest))),
    "var_mean: the mean forgotten": (
        "var_mean",
        instead(lambda g, x, *rest: reduction.var_mean_vjp((g[0], None), x, *rest)),
    ),
    "prod: not divided by x": ("prod", saved(0, torch.ones_like)),
    "cumsum: from the same end": ("cumsum", instead(lambda g, dim, _dtype: g.cumsum(dim))),
    "maximum: half to each": ("maximum", instead(half_each)),
    "minimum: to the larger": ("minimum", instead(extremum.maximum_vjp)),
    "max: next to the maximum": (
        "max",
        lambda right: (
            lambda *args, **needs: tuple(
                None if grad is None else grad.roll(1, -1) if grad.dim() else grad for grad in right(*args, **needs)
            )
        ),
    ),
    "amax: to everyone": ("amax", saved(1, lambda y: torch.full_like(y, -math.inf))),
    "clamp: no bounds": ("clamp", instead(lambda g, *_saved, **_needs: (g, None, None))),
    "clamp_min: below": ("clamp_min", saved(0, torch.neg)),
    "where: branches exchanged": ("where", saved(0, torch.logical_not)),
    "masked_fill: mask inverted": ("masked_fill", saved(0, torch.logical_not)),
    "softmax: y · g": ("softmax", instead(lambda g, y, _dim: g * y)),
    "softmax: over another dimension": ("softmax", saved(1, lambda _dim: 0)),
    "log_softmax: y for exp(y)": ("log_softmax", saved(0, lambda y: y.abs().log())),
    "log_softmax: a mean of g": ("log_softmax", saved(0, lambda y: y - 1)),
    "logsumexp: nothing normalized": ("logsumexp", saved(1, torch.zeros_like)),
    "linear: weight's gradient a mean over rows": ("linear", scaled(1, 0.2)),
    "linear: bias's gradient a mean over rows": ("linear", scaled(2, 0.2)),
    "linear: factors of the weight's gradient exchanged": (
        "linear",
        saved(2, lambda layout: layout._replace(weight=layout.weight[::-1])),
    ),
    "linear: sign of the input's gradient": ("linear", scaled(0, -1)),
    "mm: left factor's sign": ("mm", scaled(0, -1)),
    "mm: columns flipped": ("mm", saved(1, lambda b: b.flip(1))),
    "addmm: beta forgotten": ("addmm", saved(3, lambda _beta: 1)),
    "addmm: alpha forgotten": ("addmm", saved(4, lambda _alpha: 1)),
    "bmm: batches in another order": ("bmm", saved(0, lambda a: a.flip(0))),
    "baddbmm: alpha forgotten": ("baddbmm", saved(3, lambda _alpha: 1)),
    "mv: vector flipped": ("mv", saved(1, lambda b: b.flip(0))),
    "addmv: beta forgotten": ("addmv", saved(2, lambda _beta: 1)),
    "dot: factors exchanged": ("dot", instead(lambda g, a, b: (g * a, g * b))),
    "vector_norm: always of order 2": ("vector_norm", saved(2, lambda _order: 2)),
    "vector_norm: not divided by y": ("vector_norm", saved(1, torch.ones_like)),
}


@pytest.mark.parametrize(("name", "fault"), FAULTS.values(), ids=FAULTS)
def test_the_fault_is_noticed(name, fault):
    rule = RULES_BY_NAME[name]
    right = rule.forms["formula"]
    assert rule_cases.is_noticed(rule, rule_cases.with_vjp(right, fault(right.vjp)))


@pytest.mark.parametrize("name", sorted({name for name, _ in FAULTS.values()}))
def test_without_a_fault_nothing_is_noticed(name):
    rule = RULES_BY_NAME[name]
    right = rule.forms["formula"]
    assert not rule_cases.is_noticed(rule, rule_cases.with_vjp(right, right.vjp))
