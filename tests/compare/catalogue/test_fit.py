from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from trainloop.compare.catalogue import CATALOGUE
from trainloop.compare.catalogue.fit import _residual, ranked
from trainloop.compare.key import STAGES, title
from trainloop.compare.wording import NO_CAUSE

PAGE = (Path(__file__).parents[3] / "docs/compare-modes.md").read_text(encoding="utf-8")
ONE, TWO = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.0])


def test_there_are_deviations_of_every_stage_and_each_has_a_name_of_its_own():
    assert {deviation.stage for deviation in CATALOGUE} == set(STAGES)
    names = [(deviation.stage, deviation.name) for deviation in CATALOGUE]
    assert len(set(names)) == len(names) > 100


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_lists_the_deviations_of_a_stage(stage):
    (row,) = re.findall(rf"^\| {title(stage)} \| (.* · .*) \|$", PAGE, flags=re.MULTILINE)
    assert row.split(" · ") == [deviation.name for deviation in CATALOGUE if deviation.stage == stage]


def test_what_predicts_exactly_leaves_nothing():
    assert _residual(ONE, TWO, TWO, 0.0) == 0.0


def test_what_predicts_no_change_leaves_everything():
    assert _residual(ONE, TWO, ONE, 0.0) == 1.0


def test_what_predicts_a_change_that_was_not_seen_is_no_better():
    assert _residual(ONE, ONE, TWO, 0.0) == 1.0


def test_what_predicts_twice_the_change_leaves_half_of_the_larger():
    assert math.isclose(_residual(ONE, TWO, 2 * TWO - ONE, 0.0), 0.5)


def test_noise_does_not_count():
    assert _residual(ONE, ONE + 1e-8, ONE, 1e-6) is None


def test_a_gradient_that_is_missing_is_compared_as_such():
    assert _residual(ONE, None, None, 0.0) == 0.0
    assert _residual(ONE, None, ONE, 0.0) == 1.0
    assert _residual(None, ONE, ONE, 0.0) == 0.0


def test_nan_is_explained_by_nan_at_the_same_place():
    wrong = torch.tensor([math.nan, 2.0])
    assert _residual(ONE, wrong, wrong, 0.0) == 0.0
    assert _residual(ONE, wrong, TWO, 0.0) == 1.0


def test_the_best_is_the_cause_and_those_that_explain_as_much_stand_beside_it():
    cause = ranked({"a": 1e-3, "b": 1.5e-3, "c": 0.4})
    assert (cause.name, cause.also, cause.runner_up, cause.tried) == ("a", ("b",), "c", 3)


def test_what_leaves_too_much_is_no_cause_but_the_nearest():
    cause = ranked({"a": 0.3, "b": 0.9})
    assert (cause.name, cause.runner_up, cause.runner_up_residual) == (NO_CAUSE, "a", 0.3)


def test_where_nothing_could_be_tried_there_is_no_cause():
    assert ranked({}).name == NO_CAUSE
