from __future__ import annotations

import math

import pytest
import torch

from trainloop.ulp import INTEGERS, same_bits, ulps


def steps_up(start, count, dtype):
    x = torch.tensor(start, dtype=dtype)
    for _ in range(count):
        x = torch.nextafter(x, torch.tensor(math.inf, dtype=dtype))
    return x


@pytest.mark.parametrize("dtype", [dtype for dtype in INTEGERS if dtype is not torch.float16])
@pytest.mark.parametrize("start", [1.0, -1.0, 0.0, 1e-30, -(2.0**20)])
def test_neighbours_are_counted(dtype, start):
    one = torch.tensor(start, dtype=dtype)
    assert ulps(one, steps_up(start, 3, dtype)).item() == 3


def test_zero_lies_between_the_signs():
    one = torch.tensor(-1e-45)
    assert ulps(one, -one).item() == 2


def test_the_two_zeros_are_no_distance_apart_and_differ_in_a_bit():
    zero, minus_zero = torch.tensor(0.0), torch.tensor(-0.0)
    assert ulps(zero, minus_zero).item() == 0
    assert not same_bits(zero, minus_zero)


def test_a_nan_has_its_own_bits():
    assert same_bits(torch.tensor(math.nan), torch.tensor(math.nan))


def test_a_distance_beyond_int64_is_the_largest_int64():
    one = torch.tensor(-1e300, dtype=torch.float64)
    assert ulps(one, -one).item() == torch.iinfo(torch.int64).max


def test_elements_are_compared_one_by_one_whatever_their_strides():
    one = torch.arange(6.0).reshape(2, 3).T
    two = one.clone()
    two[1, 0] = 7.0
    assert same_bits(one, two).tolist() == [[True, True], [False, True], [True, True]]
    assert ulps(one, one).sum().item() == 0
