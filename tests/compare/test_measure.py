"""The difference of two tensors in numbers."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.compare.measure import BOTH_NAN, difference, equal_bits, largest, largest_gap

NAN, INF = math.nan, math.inf


def tensor(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


# Bits


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_equal_values_of_one_dtype_have_equal_bits(dtype):
    assert equal_bits(tensor(1, 0, 1, dtype=dtype), tensor(1, 0, 1, dtype=dtype))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_another_value_has_other_bits(dtype):
    assert not equal_bits(tensor(1, 0, 1, dtype=dtype), tensor(1, 0, 0, dtype=dtype))


def test_minus_zero_has_other_bits_than_zero():
    assert not equal_bits(tensor(0.0), tensor(-0.0))


def test_a_nan_has_the_bits_of_itself():
    assert equal_bits(tensor(1.0, NAN), tensor(1.0, NAN))


def test_another_dtype_has_other_bits():
    assert not equal_bits(tensor(1.0), tensor(1.0, dtype=torch.float64))


def test_another_shape_has_other_bits():
    assert not equal_bits(torch.zeros(2, 1), torch.zeros(1, 2))


def test_a_missing_tensor_equals_a_missing_tensor_alone():
    assert equal_bits(None, None)
    assert not equal_bits(None, tensor(0.0))
    assert not equal_bits(tensor(0.0), None)


def test_the_order_in_memory_does_not_matter_for_bits():
    x = torch.arange(6.0).reshape(2, 3)
    assert equal_bits(x, x.t().contiguous().t())


@pytest.mark.parametrize("empty", [torch.empty(0), torch.empty(3, 0)])
def test_empty_tensors_have_equal_bits(empty):
    assert equal_bits(empty, empty.clone())


# Differences


def test_the_largest_difference_has_its_place_and_both_values():
    found = difference(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.5], [3.0, 4.25]]))
    assert (found.index, found.reference, found.candidate, found.abs_err) == ((0, 1), 2.0, 2.5, 0.5)


def test_the_relative_error_is_of_the_largest_value_of_the_reference():
    assert difference(tensor(1.0, -8.0), tensor(1.5, -8.0)).rel_err == 0.5 / 8


def test_the_distance_in_ulp_is_in_the_reference_dtype():
    one = tensor(1.0)
    assert difference(one, one + 2**-23).ulp == 1
    assert difference(one.double(), one.double() + 2**-52).ulp == 1


def test_there_is_no_ulp_across_dtypes():
    assert difference(tensor(1.0), tensor(1.5, dtype=torch.float64)).ulp is None


def test_a_relative_error_of_a_zero_reference_is_infinite():
    assert difference(tensor(0.0), tensor(1e-9)).rel_err == INF


def test_minus_zero_and_zero_are_the_same_number():
    found = difference(tensor(0.0), tensor(-0.0))
    assert (found.abs_err, found.rel_err, found.problem) == (0.0, 0.0, "")


def test_a_number_without_dimensions_has_the_empty_index():
    found = difference(torch.tensor(1.0), torch.tensor(3.0))
    assert (found.index, found.abs_err) == ((), 2.0)


def test_empty_tensors_do_not_differ():
    assert difference(torch.empty(0, 3), torch.empty(0, 3)).abs_err == 0.0


def test_integers_differ_by_their_distance():
    found = difference(torch.tensor([3, 7]), torch.tensor([3, 9]))
    assert (found.index, found.abs_err, found.ulp) == ((1,), 2.0, None)


def test_flags_differ_by_one():
    assert difference(torch.tensor([True, False]), torch.tensor([True, True])).abs_err == 1.0


def test_a_nan_on_one_side_is_a_problem_with_its_place():
    found = difference(tensor(1.0, 2.0), tensor(1.0, NAN))
    assert found.index == (1,)
    assert found.problem == "nan on the candidate, 2.0 on the reference"
    assert found.abs_err == INF


def test_a_nan_on_the_reference_alone_is_a_problem():
    assert difference(tensor(NAN), tensor(2.0)).problem == "2.0 on the candidate, nan on the reference"


def test_a_nan_on_both_sides_is_reported_as_such():
    found = difference(tensor(1.0, NAN), tensor(1.0, NAN))
    assert found.problem == BOTH_NAN
    assert found.is_nan_on_both_sides


def test_a_nan_on_one_side_outweighs_a_nan_on_both():
    found = difference(tensor(NAN, NAN), tensor(NAN, 1.0))
    assert (found.index, found.is_nan_on_both_sides) == ((1,), False)


def test_the_same_infinity_on_both_sides_is_no_difference():
    assert difference(tensor(INF, 1.0), tensor(INF, 1.0)).abs_err == 0.0


def test_opposite_infinities_are_a_problem():
    assert difference(tensor(INF), tensor(-INF)).problem == "-inf on the candidate, inf on the reference"


def test_an_infinity_against_a_number_is_a_problem():
    assert difference(tensor(1.0), tensor(INF)).problem == "inf on the candidate, 1.0 on the reference"


def test_beside_a_common_infinity_numbers_still_count():
    found = difference(tensor(INF, 1.0), tensor(INF, 1.5))
    assert (found.index, found.abs_err, found.problem) == ((1,), 0.5, "")


def test_another_shape_is_a_problem_that_names_both():
    assert difference(torch.zeros(2, 3), torch.zeros(3, 2)).problem == "shape (3, 2) instead of (2, 3)"


@pytest.mark.parametrize(
    ("reference", "candidate", "problem"),
    [(None, tensor(1.0), "None on the reference"), (tensor(1.0), None, "None on the candidate")],
)
def test_a_missing_tensor_is_a_problem_that_names_the_side(reference, candidate, problem):
    assert difference(reference, candidate).problem == problem


def test_two_missing_tensors_do_not_differ():
    assert difference(None, None).abs_err == 0.0


# Scales and gaps


def test_the_largest_value_leaves_out_what_is_no_number():
    assert largest(tensor(NAN, -3.0, INF, -INF)) == 3.0


@pytest.mark.parametrize("nothing", [torch.empty(0), tensor(NAN)])
def test_the_largest_value_of_nothing_is_zero(nothing):
    assert largest(nothing) == 0.0


def test_the_largest_gap_is_a_number():
    assert largest_gap(tensor(1.0, 2.0), tensor(1.0, 2.5)) == 0.5


@pytest.mark.parametrize(
    ("one", "two"),
    [(tensor(NAN), tensor(1.0)), (tensor(1.0), tensor(NAN)), (None, tensor(1.0)), (torch.zeros(2), torch.zeros(3))],
)
def test_the_gap_of_what_cannot_be_compared_is_infinite(one, two):
    assert largest_gap(one, two) == INF


def test_the_gap_of_equal_infinities_is_zero():
    assert largest_gap(tensor(INF), tensor(INF)) == 0.0


def test_the_gap_of_nothing_is_zero():
    assert largest_gap(None, None) == 0.0
    assert largest_gap(torch.empty(0), torch.empty(0)) == 0.0
