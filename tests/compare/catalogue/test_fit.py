from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainloop.compare.catalogue import CATALOGUE
from trainloop.compare.catalogue.fit import ranked
from trainloop.compare.key import STAGES, title
from trainloop.compare.wording import NO_CAUSE

PAGE = (Path(__file__).parents[3] / "docs/compare-modes.md").read_text(encoding="utf-8")


def test_there_are_deviations_of_every_stage_and_each_has_a_name_of_its_own():
    assert {deviation.stage for deviation in CATALOGUE} == set(STAGES)
    names = [(deviation.stage, deviation.name) for deviation in CATALOGUE]
    assert len(set(names)) == len(names) > 100


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_lists_the_deviations_of_a_stage(stage):
    (row,) = re.findall(rf"^\| {title(stage)} \| (.* · .*) \|$", PAGE, flags=re.MULTILINE)
    assert row.split(" · ") == [deviation.name for deviation in CATALOGUE if deviation.stage == stage]


def test_the_best_is_the_cause_and_those_that_explain_as_much_stand_beside_it():
    cause = ranked({"a": 1e-3, "b": 1.5e-3, "c": 0.4})
    assert (cause.name, cause.also, cause.runner_up, cause.tried) == ("a", ("b",), "c", 3)


def test_what_leaves_too_much_is_no_cause_but_the_nearest():
    cause = ranked({"a": 0.3, "b": 0.9})
    assert (cause.name, cause.runner_up, cause.runner_up_residual) == (NO_CAUSE, "a", 0.3)


def test_where_nothing_could_be_tried_there_is_no_cause():
    assert ranked({}).name == NO_CAUSE
