"""The picture of a comparison; what it looks like was looked at, here stands that it can be drawn."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from PIL import Image

from trainloop.compare import curves
from trainloop.compare.curves import curves_png
from trainloop.compare.verdict import FreeRun


def colours(png):
    """Return the colours of the picture that are not shades of grey."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    assert image.size == (990, 715)
    return {colour for _, colour in image.getcolors(10**6) if max(colour) - min(colour) > 60}


def rgb(text):
    return tuple(int(text[place : place + 2], 16) for place in (1, 3, 5))


def test_both_losses_and_the_distance_are_drawn(different_verdict):
    found = colours(curves_png(different_verdict))
    assert rgb(curves.CANDIDATE) in found
    assert rgb(curves.DISTANCE) in found


def test_equal_weights_have_no_curve_of_their_distance(equal_verdict):
    assert rgb(curves.DISTANCE) not in colours(curves_png(equal_verdict))


def test_a_comparison_without_a_step_is_a_picture_too(inconclusive_verdict):
    assert colours(curves_png(inconclusive_verdict)) == set()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_gap(different_verdict, bad):
    free = FreeRun((2.0, 1.0, 1.0), (2.0, 1.5, bad), (0.0, 0.1, bad))
    assert colours(curves_png(dataclasses.replace(different_verdict, free_run=free)))


def test_a_candidate_that_failed_midway_has_a_shorter_curve(different_verdict):
    free = FreeRun((2.0, 1.0, 1.0), (2.0,), (0.1,))
    assert colours(curves_png(dataclasses.replace(different_verdict, free_run=free)))


def test_a_title_with_a_formula_in_it_is_a_title(equal_verdict):
    assert curves_png(dataclasses.replace(equal_verdict, candidate="$x_{", reason="a $ and _ ^ " * 40))
