"""A list of tensors behaves as one tensor would, element by element of the list."""

from __future__ import annotations

import operator

import pytest
import torch

from trainloop.manual.optim.tensor_list import FOREACH, TensorList

SHAPES = ((2, 3), (), (4,))


def make(seed):
    generator = torch.Generator().manual_seed(seed)
    return TensorList([torch.rand(shape, generator=generator) + 0.5 for shape in SHAPES])


def assert_like_each(function, *args):
    found = function(*args).tensors
    rows = zip(*(arg.tensors if isinstance(arg, TensorList) else [arg] * len(SHAPES) for arg in args), strict=True)
    for one, row in zip(found, rows, strict=True):
        assert torch.equal(one, function(*row))


TWO = ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne", "pow")


@pytest.mark.parametrize("name", TWO)
def test_an_operator_of_two_lists_or_a_list_and_a_number(name):
    assert_like_each(getattr(operator, name), make(0), make(1))
    assert_like_each(getattr(operator, name), make(0), 0.7)
    assert_like_each(getattr(operator, name), make(0), torch.tensor(0.7))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_an_operator_of_a_number_and_a_list(name):
    assert_like_each(getattr(operator, name), 0.7, make(0))


@pytest.mark.parametrize("function", FOREACH, ids=lambda function: function.__name__)
def test_a_function_for_lists_gives_what_it_gives_for_each(function):
    name = function.__name__
    if name in ("addcmul", "addcdiv"):
        assert_like_each(lambda *args: function(*args, value=0.3), make(0), make(1), make(2))
    elif name == "lerp":
        assert_like_each(lambda *args: function(*args, 0.3), make(0), make(1))
    elif name in ("add", "sub", "mul", "div", "maximum"):
        assert_like_each(function, make(0), make(1))
    else:
        assert_like_each(function, make(0))


def test_a_method_or_function_without_a_twin_runs_for_each():
    assert_like_each(lambda x: x.clamp(0.6, 0.9), make(0))
    assert_like_each(lambda x: torch.where(x > 0.8, 0.5, x), make(0))
    assert_like_each(torch.ones_like, make(0))
    assert_like_each(operator.neg, make(0))


def test_dtype_and_device_are_those_of_all():
    assert (make(0).dtype, make(0).device) == (torch.float32, torch.device("cpu"))


def test_what_a_list_cannot_do_is_named():
    with pytest.raises(AttributeError, match=r"an update of several tensors at once has no \.numel_of_nothing"):
        make(0).numel_of_nothing()
