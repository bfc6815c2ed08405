from __future__ import annotations

import math

import torch

from trainloop.explain.compared import compare_all, compare_one
from trainloop.explain.results import AllCompared, Compared

ONE = torch.tensor(1.0)
NEXT = torch.nextafter(ONE, torch.tensor(2.0))


def test_equal_numbers_have_the_same_bits():
    assert compare_one(ONE, ONE.clone()) == Compared(1.0, 1.0, same_bits=True, ulps=0)


def test_a_difference_is_counted_in_ulps():
    assert compare_one(ONE, NEXT) == Compared(1.0, NEXT.item(), same_bits=False, ulps=1)


def test_none_is_none_and_no_number():
    assert compare_one(None, None) == Compared(None, None, same_bits=True, ulps=None)
    assert compare_one(None, ONE) == Compared(None, 1.0, same_bits=False, ulps=None)


def test_a_nan_is_never_a_wildcard():
    compared = compare_one(torch.tensor(math.nan), ONE)
    assert (compared.same_bits, compared.ulps) == (False, None)


def test_tensors_are_counted_and_the_largest_difference_is_relative():
    one, two = torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0])
    assert compare_all([(one, one.clone()), (one, two), (None, None)]) == AllCompared(2, 1, 0.2)


def test_a_gradient_that_only_one_side_has_is_an_infinite_difference():
    assert compare_all([(ONE, ONE), (None, ONE)]) == AllCompared(2, 1, math.inf)


def test_nothing_to_compare_agrees():
    assert compare_all([(None, None), (torch.zeros(0), torch.zeros(0))]) == AllCompared(1, 1, 0.0)
