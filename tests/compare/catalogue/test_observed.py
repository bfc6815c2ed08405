from __future__ import annotations

import math

import torch

from trainloop.compare.catalogue.observed import Observed

ONE, TWO = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.5, 2.0]).double()


def residual(reference, candidate, predicted, noise):
    return Observed(reference, candidate, noise).residual(predicted)


def test_what_predicts_exactly_leaves_nothing():
    assert residual(ONE, TWO, TWO, 0.0) == 0.0


def test_what_predicts_no_change_leaves_everything():
    assert residual(ONE, TWO, ONE, 0.0) == 1.0


def test_what_predicts_a_change_that_was_not_seen_is_no_better():
    assert residual(ONE, ONE, TWO, 0.0) == 1.0


def test_what_predicts_twice_the_change_leaves_half_of_the_larger():
    assert math.isclose(residual(ONE, TWO, 2 * TWO - ONE, 0.0), 0.5)


def test_noise_does_not_count():
    assert residual(ONE, ONE + 1e-8, ONE, 1e-6) is None


def test_a_gradient_that_is_missing_is_compared_as_such():
    assert residual(ONE, None, None, 0.0) == 0.0
    assert residual(ONE, None, ONE, 0.0) == 1.0
    assert residual(None, ONE, ONE, 0.0) == 0.0


def test_nan_is_explained_by_nan_at_the_same_place():
    wrong = torch.tensor([math.nan, 2.0])
    assert residual(ONE, wrong, wrong, 0.0) == 0.0
    assert residual(ONE, wrong, TWO, 0.0) == 1.0


def test_a_shape_that_was_not_seen_explains_nothing():
    assert residual(ONE, TWO, torch.zeros(3), 0.0) == 1.0


def test_a_change_is_visible_above_the_noise():
    assert Observed(ONE, TWO, 0.1).is_visible
    assert not Observed(ONE, TWO, 1.0).is_visible
