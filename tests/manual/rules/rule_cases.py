"""Runs one example call of one rule under autograd and under a tape, and compares the two."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.manual import Form, Tape
from trainloop.manual.examples import draw
from trainloop.manual.rule import Composite, Rule
from trainloop.manual.rules import RULES
from trainloop.manual.where import function_name
from trainloop.tolerance import tolerance


@dataclass(frozen=True)
class Case:
    """One function of one rule with one example."""

    rule: Rule | Composite
    function: object
    example: object

    def __str__(self):
        return f"{self.rule.name}-{function_name(self.function)}-{self.example}"

    @property
    def inplace(self):
        marked = isinstance(self.rule, Rule) and self.function in self.rule.inplace
        return marked or self.example.kwargs.get("inplace", False)

    def exact(self, form):
        if isinstance(self.rule, Composite):
            return self.rule.exact is True or self.rule.exact == form
        return self.rule.form(form).exact


def forms_of(rule):
    return ("aten", "formula") if isinstance(rule, Composite) else tuple(rule.forms)


def cases():
    for function, rule in RULES.items():
        for example in (*rule.examples, *rule.also.get(function, ())):
            yield Case(rule, function, example)


def tensors(found):
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, (tuple, list)):
        for item in found:
            yield from tensors(item)
    elif isinstance(found, dict):
        yield from tensors(list(found.values()))


@dataclass
class Outcome:
    """The outputs of a call and the gradient of a weighted sum of them."""

    outputs: list[Tensor]
    grads: list[Tensor | None]


def weights_for(output, seed):
    # Far from the seeds of the examples: a gradient equal to the input would hide what a normalization does with it.
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)


def run(case, dtype, tape=None, layout=None, perturb=None):
    """Call the function once; without a tape autograd differentiates it."""
    args, kwargs = draw(case.example, dtype)
    leaves = [tensor for tensor in tensors((args, kwargs)) if tensor.requires_grad]
    if layout is not None:
        for leaf in leaves:
            leaf.data = layout(leaf.data)
    if perturb is not None:
        perturb(leaves)
    torch.manual_seed(3)
    if tape is None:
        outputs, total = call_and_sum(case, args, kwargs)
        total.backward()
    else:
        with tape:
            outputs, total = call_and_sum(case, args, kwargs)
        tape.backward(total)
    return Outcome([output.detach() for output in outputs], [leaf.grad for leaf in leaves]), total.detach()


def call_and_sum(case, args, kwargs):
    if case.inplace:
        # A leaf can't be changed in place, so the target is a copy of it, as inside a model.
        args = (args[0].clone(), *args[1:])
    output = case.function(*args, **kwargs)
    if output is None:  # __setitem__ changes its first argument and returns nothing
        output = args[0]
    outputs = [tensor for tensor in tensors(output) if tensor.is_floating_point()]
    total = sum_of([(tensor * weights_for(tensor, index)).sum() for index, tensor in enumerate(outputs)])
    return list(tensors(output)), total


def sum_of(terms):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def same_bits(one, two):
    return (
        one.shape == two.shape
        and one.dtype == two.dtype
        and bool(((one == two) & (one.signbit() == two.signbit()) | (one.isnan() & two.isnan())).all())
        if one.is_floating_point()
        else torch.equal(one, two)
    )


def strides(tensor):
    """The stride of a dimension of size 1 says nothing."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size != 1]


def assert_same(case, form, ours, theirs, dtype):
    """Same bits where the form promises them, within the table elsewhere; same strides of gradients always."""
    for quantity, mine, reference in (("output", ours.outputs, theirs.outputs), ("gradient", ours.grads, theirs.grads)):
        assert len(mine) == len(reference)
        for index, (one, two) in enumerate(zip(mine, reference, strict=True)):
            where = f"{case} ({form}): {quantity} {index}"
            assert (one is None) == (two is None), f"{where}: found {one}, expected {two}"
            if two is None:
                continue
            assert one.shape == two.shape, where
            assert one.dtype == two.dtype, where
            if quantity == "gradient":
                assert strides(one) == strides(two), where
            if case.exact(form):
                assert same_bits(one, two), f"{where}: not the bits of autograd, {largest(one - two)}"
            elif two.numel():
                name = str(dtype).removeprefix("torch.")
                bound = tolerance(name, quantity).bound(largest(two))
                assert largest(one.double() - two.double()) <= bound, f"{where}: {largest(one - two)} > {bound}"


def largest(tensor):
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def with_vjp(form, vjp):
    """Return the form with another vjp, whose signature the tape sees as that of the right one."""
    if form.vjp_takes_needs:
        return Form(form.forward, lambda *args, needs: vjp(*args, needs=needs))
    return Form(form.forward, lambda *args: vjp(*args))


def is_noticed(rule, form):
    """Return whether the examples of the rule, in float64, tell this form of it from autograd, or it breaks down."""
    faulty = dataclasses.replace(rule, forms={"formula": form})
    function = rule.functions[0]
    for example in (*rule.examples, *rule.also.get(function, ())):
        case = Case(faulty, function, example)
        theirs, _ = run(case, torch.float64)
        try:
            ours, _ = run(case, torch.float64, Tape(form="formula", rules={**RULES, function: faulty}))
            assert_same(case, "formula", ours, theirs, torch.float64)
        except (AssertionError, RuntimeError):
            return True
    return False
