from __future__ import annotations

import pytest
import torch

from trainloop.explain.elementwise import ELEMENTWISE
from trainloop.explain.equation import Term
from trainloop.tolerance import tolerance

NUMBERS = {"a": 0.75, "b": -1.5, "c": 2.25}
CALLS = {
    "add": ("ab", torch.add),
    "sub": ("ab", torch.sub),
    "rsub": ("ab", torch.rsub),
    "mul": ("ab", torch.mul),
    "div": ("ab", torch.div),
    "neg": ("a", torch.neg),
    "lerp": ("abc", torch.lerp),
    "addcmul": ("abc", torch.addcmul),
    "addcdiv": ("abc", torch.addcdiv),
    "square": ("b", torch.square),
    "reciprocal": ("b", torch.reciprocal),
    "sqrt": ("a", torch.sqrt),
    "rsqrt": ("a", torch.rsqrt),
    "abs": ("b", torch.abs),
    "sign": ("b", torch.sign),
    "exp": ("b", torch.exp),
    "pow": ("ab", torch.pow),
    "maximum": ("ab", torch.maximum),
    "minimum": ("ab", torch.minimum),
    "clamp": ("cba", torch.clamp),
    "where": ("abc", lambda a, b, c: torch.where(a != 0, b, c)),
    "gt": ("ab", torch.gt),
    "ge": ("aa", torch.ge),
    "lt": ("ab", torch.lt),
    "le": ("ab", torch.le),
    "eq": ("aa", torch.eq),
    "clone": ("a", torch.clone),
    "to": ("a", lambda a: a.to(torch.float64)),
    "ones_like": ("a", torch.ones_like),
    "zeros_like": ("a", torch.zeros_like),
    "tensor": ("a", lambda a: torch.tensor(a.item(), dtype=torch.float64)),
    "as_tensor": ("a", torch.as_tensor),
}


def terms(letters):
    return [Term.named(letter, NUMBERS[letter]) for letter in letters]


def test_every_equation_has_its_operation_here():
    assert set(CALLS) == set(ELEMENTWISE)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_equation_computes_what_the_operation_computes(name):
    letters, function = CALLS[name]
    expected = float(function(*(torch.tensor(NUMBERS[letter], dtype=torch.float64) for letter in letters)))
    value = ELEMENTWISE[name](*terms(letters)).value
    assert abs(float(value) - expected) <= tolerance("float64", "output").bound(abs(expected))


@pytest.mark.parametrize(
    ("name", "keyword", "symbols"),
    [("add", "alpha", "a + s·b"), ("addcmul", "value", "a + s·b·c"), ("addcdiv", "value", "a + s·b / c")],
)
def test_a_factor_stands_in_the_equation(name, keyword, symbols):
    letters = "ab" if name == "add" else "abc"
    assert ELEMENTWISE[name](*terms(letters), **{keyword: Term.named("s", 0.1)}).symbols.text == symbols


def test_a_bound_on_one_side_is_a_maximum_or_a_minimum():
    a, bound = Term.named("a", -1.0), Term.named("eps", 0.5)
    assert ELEMENTWISE["clamp"](a, min=bound).symbols.text == "max(a, eps)"
    assert ELEMENTWISE["clamp"](a, max=bound).symbols.text == "min(a, eps)"


def test_the_root_of_a_negative_number_is_not_a_number():
    value = ELEMENTWISE["sqrt"](Term.named("a", -1.0)).value
    assert value != value
