from __future__ import annotations

import pytest
from torch import nn

from trainloop.errors import UsageError
from trainloop.explain.choice import choose_index, choose_param
from trainloop.explain.tiny import TinyNet


def fault(call, *arguments):
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    return caught.value.faults[0]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (None, "first.weight"),
        ("shift", "shift"),
        ("last.weight", "last.weight"),
        ("la*", "last.weight"),
        ("*.weigh[t]", None),
    ],
)
def test_a_name_or_a_pattern_of_one_is_found(wanted, name):
    if name is not None:
        assert choose_param(TinyNet(), wanted) == name
    else:
        assert fault(choose_param, TinyNet(), wanted).expected == "one of first.weight, last.weight"


def test_what_is_frozen_is_not_the_first_choice():
    model = TinyNet()
    model.first.weight.requires_grad_(False)
    assert choose_param(model, None) == "last.weight"


def test_a_misspelt_name_gets_the_nearest_one_and_the_list():
    found = fault(choose_param, TinyNet(), "frist.weight")
    assert (found.what, found.where, found.found) == ("the model has no such parameter", "--param", "frist.weight")
    assert found.expected == "one of shift, scale, unused, first.weight, last.weight"
    assert found.help == "did you mean `first.weight`?"


def test_a_name_like_none_gets_the_list():
    found = fault(choose_param, TinyNet(), "attention.q")
    assert found.help == "a pattern such as `*.weight` works too, if it matches one alone"


def test_a_pattern_of_several_lists_them():
    found = fault(choose_param, TinyNet(), "*.weight")
    assert found.what == "this pattern matches 2 parameters, and one is explained at a time"
    assert found.expected == "one of first.weight, last.weight"


def test_a_long_list_is_cut():
    model = nn.ParameterList([nn.Parameter() for _ in range(50)])
    assert fault(choose_param, model, "x").expected.endswith("39 and 10 more, which `trainloop train --dry-run` lists")


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, (0, 0)), ("1,0", (1, 0)), ("(1, 1)", (1, 1)), ("[0,1]", (0, 1)), ("-1,0", (1, 0))]
)
def test_an_index_counts_from_either_end(wanted, index):
    assert choose_index(TinyNet().first.weight, "first.weight", wanted) == index


def test_one_number_has_the_empty_index():
    assert choose_index(TinyNet().shift, "shift", None) == ()


@pytest.mark.parametrize("wanted", ["2,0", "0", "0,0,0", "a,b", "0,-3"])
def test_another_index_is_told_the_shape(wanted):
    found = fault(choose_index, TinyNet().first.weight, "first.weight", wanted)
    assert (found.what, found.where, found.found) == ("first.weight has no such element", "--index", wanted)
    assert found.expected == "an index into the shape (2, 2): from 0,0 to 1,1"


def test_one_number_takes_no_index():
    assert fault(choose_index, TinyNet().shift, "shift", "0").expected.endswith("leave --index out")


def test_a_parameter_without_elements_says_so():
    assert fault(choose_index, nn.Parameter(), "p", None).expected.endswith("it has no elements at all")
