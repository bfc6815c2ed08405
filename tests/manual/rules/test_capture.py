"""Every rule, by registration: captured by make_fx at some values, the graph gives at others what the rule gives there.

So no rule asks a tensor for its values on the way: such an answer would be frozen into the graph.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual import Tape
from trainloop.manual.examples import draw

spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).parent / "rule_cases.py")
rule_cases = importlib.util.module_from_spec(spec)
sys.modules["rule_cases"] = rule_cases
spec.loader.exec_module(rule_cases)

CASES = [
    pytest.param(case, form, marks=[] if case.example is case.rule.examples[0] else [pytest.mark.long])
    for case in rule_cases.cases()
    if case.function is (case.rule.functions or case.rule.inplace)[0]
    for form in rule_cases.forms_of(case.rule)
]


def filled(arguments, values):
    """The arguments of a call, each tensor that requires grad replaced by the next value."""
    if isinstance(arguments, Tensor):
        if arguments.requires_grad:
            return next(values).detach().requires_grad_()
        return arguments.clone() if arguments.is_floating_point() else arguments  # running statistics are overwritten
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(filled(argument, values) for argument in arguments)
    if isinstance(arguments, dict):
        return {name: filled(argument, values) for name, argument in arguments.items()}
    return arguments


def step(case, form):
    """A function of the leaves of the example that returns the outputs of the call and the gradients."""
    example = draw(case.example, torch.float64)

    def outputs_and_gradients(*values):
        args, kwargs = filled(example, iter(values))
        leaves = [tensor for tensor in rule_cases.tensors((args, kwargs)) if tensor.requires_grad]
        tape = Tape(form=form)
        with tape:
            if case.inplace:
                args = (args[0].clone(), *args[1:])
            output = case.function(*args, **kwargs)
            outputs = [
                tensor
                for tensor in rule_cases.tensors(args[0] if output is None else output)
                if tensor.is_floating_point()
            ]
            total = rule_cases.sum_of([(tensor * tensor).sum() for tensor in outputs])
        gradients = tape.gradients(total, leaves)
        return [output.detach() for output in outputs] + [gradient for gradient in gradients if gradient is not None]

    return outputs_and_gradients, [tensor.detach() for tensor in rule_cases.tensors(example) if tensor.requires_grad]


@pytest.mark.parametrize(("case", "form"), CASES, ids=str)
def test_a_captured_rule_gives_the_bits_of_the_rule_at_other_values(case, form):
    function, values = step(case, form)
    graph = make_fx(function)(*values)
    elsewhere = [value * 0.99 for value in values]
    torch.manual_seed(3)
    expected = function(*elsewhere)
    torch.manual_seed(3)
    found = graph(*elsewhere)
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert rule_cases.same_bits(one, two)
