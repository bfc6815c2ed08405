"""NaN, the infinities, the zeros and the kinks: every function of one element, by registration, gives what autograd gives."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.manual import Tape
from trainloop.manual.examples import draw
from trainloop.manual.rule import Rule
from trainloop.manual.rules.activation import ACTIVATION
from trainloop.manual.rules.activation_smooth import ACTIVATION_SMOOTH
from trainloop.manual.rules.elementwise import ELEMENTWISE
from trainloop.tolerance import tolerance

SPECIAL = [
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    6.0,
    0.1,
    20.0,
    -20.0,
    1e-30,
    1e30,
    -1e30,
]
WHOLE_REGISTERS = 64
"""So many of each value, so that no kernel has a tail, where some treat NaN otherwise than elsewhere."""
FAMILIES = {**ACTIVATION, **ACTIVATION_SMOOTH, **ELEMENTWISE}
CASES = [
    (name, form)
    for name, rule in FAMILIES.items()
    for form in (rule.forms if isinstance(rule, Rule) else ("formula", "aten"))
]


def gradient(name, dtype, tape=None):
    """The gradient at the special values, for a gradient of the output that is no special value."""
    rule = FAMILIES[name]
    (_, *rest), kwargs = draw(rule.examples[0], dtype)
    x = torch.tensor(SPECIAL, dtype=dtype).repeat(WHOLE_REGISTERS).reshape(-1, 6).requires_grad_()
    function = rule.functions[0]
    if tape is None:
        output = function(x, *rest, **kwargs)
        output.backward(weights(output))
        return x.grad
    with tape:
        output = function(x, *rest, **kwargs)
    tape.backward(output, weights(output))
    return x.grad


def weights(output):
    return torch.linspace(0.5, 2, output.numel(), dtype=output.dtype).reshape(output.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "form"), CASES)
def test_the_gradient_at_special_values_is_that_of_autograd(name, form, dtype):
    theirs = gradient(name, dtype)
    ours = gradient(name, dtype, Tape(form=form))
    bound = tolerance(str(dtype).removeprefix("torch."), "gradient")
    right = (ours == theirs) | (ours.isnan() & theirs.isnan())
    right |= (ours - theirs).abs() <= bound.atol + bound.rtol * theirs.abs()
    wrong = (~right).flatten().nonzero().flatten().tolist()
    at = {
        SPECIAL[index % len(SPECIAL)]: (ours.flatten()[index].item(), theirs.flatten()[index].item()) for index in wrong
    }
    assert not wrong, f"at: (found, expected) = {at}"
