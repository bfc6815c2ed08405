"""Numbers, places and sentences of a comparison."""

from __future__ import annotations

import dataclasses
import math

import pytest

from trainloop.compare.verdict import Cause, First, FreeRun
from trainloop.compare.wording import (
    NO_CAUSE,
    cause_text,
    command_to_see,
    counted,
    first_sentence,
    first_values,
    free_run_text,
    loss_ends,
    number,
    oracle_text,
    place,
    same_bits,
    whole,
    worst_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (7.123e-4, "7.1e-04"), (31.0, "3.1e+01"), (math.inf, "inf"), (math.nan, "nan")],
)
def test_a_number_has_two_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (1_234, "1,234"), (999_999, "999,999"), (41_841_074, "4.2e+07")]
)
def test_a_count_has_separators_until_its_order_says_enough(value, text):
    assert whole(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 steps"), (1, "1 step"), (1_200, "1,200 steps")])
def test_a_noun_follows_its_count(value, text):
    assert counted(value, "step") == text


def test_a_place_is_a_tensor_with_an_index():
    assert place("layer3.0.conv1.weight", (3, 0, 1, 1)) == "layer3.0.conv1.weight[3,0,1,1]"


def test_the_place_of_a_number_without_dimensions_is_its_name():
    assert place("loss", ()) == "loss"


def test_same_bits_of_all_and_of_some(equal_verdict, rounding_stage):
    assert same_bits(equal_verdict.stages[0]) == "all 44"
    assert same_bits(rounding_stage) == "443 of 464"


def test_the_first_difference_is_one_line(first):
    sentence = "step 2 · optimizer step · layer3.0.conv1.weight[3,0,1,1]: 7.1e-04 against a floor of 3.0e-08"
    assert first_sentence(first) == sentence


def test_the_first_difference_of_a_case_names_it(first):
    assert first_sentence(dataclasses.replace(first, case="blank batch")).endswith("3.0e-08 (blank batch)")


def test_a_difference_that_is_no_number_is_told_in_words(first):
    told = dataclasses.replace(
        first, stage="backward", tensor="grad of head.bias", index=(), problem="None on the candidate"
    )
    assert first_sentence(told) == "step 2 · backward · grad of head.bias: None on the candidate"
    assert first_values(told) == ""


def test_both_numbers_have_nine_digits():
    first = First("config", 1, "loss", "loss", (), 1 / 3, 2 / 3, 1 / 3, 1e-7)
    assert first_values(first) == "there the reference has 0.333333333 and the candidate 0.666666667"


def test_a_cause_has_its_residual():
    assert cause_text(Cause("eps inside", 7.3e-8, 23)) == "eps inside (residual 7.3e-08, of 23 known deviations)"


def test_causes_that_cannot_be_told_apart_are_named():
    assert cause_text(Cause("a", 0.0, 5, also=("b", "c"))).endswith("; not to be told apart here: b, c)")


def test_without_a_cause_the_nearest_is_named():
    text = (
        "none of the 23 known deviations of this stage explains it; the nearest is no bias correction (residual 0.41)"
    )
    assert cause_text(Cause(NO_CAUSE, 1.0, 23, runner_up="no bias correction", runner_up_residual=0.41)) == text


def test_without_any_candidate_nothing_is_the_nearest():
    assert cause_text(Cause(NO_CAUSE, 1.0, 0)) == "none of the 0 known deviations of this stage explains it"


def test_a_folder_with_a_space_is_quoted():
    assert command_to_see("runs/compare 1") == "python 'runs/compare 1/reproduce.py'"


def test_a_stage_differs_most_at_a_place(rounding_stage):
    assert worst_text(rounding_stage) == "block1.1.bias[22], step 2"


def test_a_stage_differs_most_in_a_case(rounding_stage):
    case = dataclasses.replace(rounding_stage, case="optimizer cases")
    assert worst_text(case) == "block1.1.bias[22], optimizer cases, step 2"


def test_a_stage_that_follows_from_another_says_so(different_stage):
    text = "block1.1.bias[22], step 2; follows from the loss"
    assert worst_text(dataclasses.replace(different_stage, inherits="loss")) == text


def test_an_equal_stage_has_no_worst_place_and_no_evidence(equal_verdict):
    assert (worst_text(equal_verdict.stages[0]), oracle_text(equal_verdict.stages[0])) == ("", "")


def test_the_oracle_tells_the_errors_of_both_sides(rounding_stage):
    text = "off float64 by 1.3e-10 (reference), 2.4e-10 (candidate); in float64 the two are 3.0e-20 apart"
    assert oracle_text(rounding_stage) == text


def test_two_that_agree_in_float64_are_equal_there(rounding_stage):
    assert oracle_text(dataclasses.replace(rounding_stage, formula_error=0.0)).endswith(
        "; in float64 the two are equal"
    )


def test_a_candidate_without_float64_is_named(rounding_stage):
    text = oracle_text(dataclasses.replace(rounding_stage, formula_error=None))
    assert text.endswith("(candidate); the candidate does not compute in float64")


def test_without_an_oracle_there_is_no_evidence(different_stage):
    assert oracle_text(dataclasses.replace(different_stage, reference_error=None)) == ""


def test_two_runs_with_the_same_bits():
    text = "each on its own: the weights have the same bits after every step"
    assert free_run_text(FreeRun((1.0,), (1.0,), (0.0,))) == text


def test_two_runs_go_apart_from_a_step_on():
    text = "each on its own: after step 2 the weights differ by 1.0e-07 of the largest, after step 3 by 2.0e-06"
    assert free_run_text(FreeRun((), (), (0.0, 1e-7, 2e-6))) == text


def test_two_runs_that_part_at_the_last_step():
    text = "each on its own: after step 2 the weights differ by 1.0e-07 of the largest"
    assert free_run_text(FreeRun((), (), (0.0, 1e-7))) == text


def test_the_ends_of_the_losses():
    assert loss_ends((2.30259, 2.0, 1.5)) == "2.3026 → 1.5000"
    assert loss_ends(()) == "none"
