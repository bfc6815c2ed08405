"""When an answer is wrong, and what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainloop.doctor.answer import Answer, find_mismatch, whole_numbers
from trainloop.tolerance import Tolerance, tolerance

EXACT = tolerance("float32", "whole numbers")
RIGHT = np.array([[1.0, -2.0], [3.0, 4.0]])


def judged(found, allowed=EXACT, right=RIGHT):
    return find_mismatch(Answer("a kernel, output", torch.as_tensor(found), right, allowed))


def test_the_right_answer_passes():
    assert judged(torch.tensor(RIGHT).float()) is None


def test_a_wrong_number_is_told_with_its_place_and_the_right_one():
    found = torch.tensor(RIGHT).float()
    found[1, 0] = 3.0000002
    found[1, 1] = 5
    mismatch = judged(found)
    assert mismatch.found == "5 at [1, 1] (2 of 4 numbers are wrong)"
    assert str(mismatch) == "a kernel, output: 5 at [1, 1] (2 of 4 numbers are wrong), expected 4"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("allowed", [EXACT, Tolerance(1e30, 1e30, "anything")])
def test_what_is_not_finite_never_passes(value, allowed):
    found = torch.tensor(RIGHT).float()
    found[0, 1] = value
    assert judged(found, allowed).found == f"{value} at [0, 1] (1 of 4 numbers are wrong)"


def test_a_nan_is_named_before_a_large_error():
    found = torch.full((2, 2), 1e30)
    found[1, 0] = math.nan
    assert judged(found).found == "nan at [1, 0] (4 of 4 numbers are wrong)"


def test_the_bound_is_told_where_there_is_one():
    found = torch.tensor(RIGHT).float() + 0.5
    mismatch = judged(found, Tolerance(0.1, 0.0, "a tenth of the largest"))
    assert mismatch.expected == "1 ± 4.0e-01"
    assert judged(found, Tolerance(0.2, 0.0, "two tenths")) is None


def test_another_shape_or_type_is_wrong():
    assert judged(torch.zeros(2, 3)).found == "float32 of shape (2, 3)"
    assert judged(torch.tensor(RIGHT)).found == "float64 of shape (2, 2)"
    assert judged(torch.zeros(4)).expected == "float32 of shape (2, 2)"


def test_whole_numbers_are_exact_on_the_cpu_unless_it_may_transform():
    assert whole_numbers(torch.device("cpu")).bound(1e6) == 0
    for allowed in (whole_numbers(torch.device("cpu"), transforms=True), whole_numbers(torch.device("cuda"))):
        assert 0 < allowed.bound(10_000) < 0.5  # the nearest whole number is still the right one
