"""Is a difference rounding? Each rule with numbers made for it."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.compare.evidence import Evidence
from trainloop.compare.judge import floor_of, judge
from trainloop.compare.key import Key
from trainloop.compare.record import State, StepRecord
from trainloop.data.pipeline import Batch
from trainloop.random_state import RandomState
from trainloop.tolerance import ROUNDING_FACTOR

KEY = Key("param", "weight")
EPS = 2.0**-23


def record_of(value, key=KEY):
    random = RandomState(torch.device("cpu"))
    batch = Batch(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    state = State({}, {}, {}, {})
    return StepRecord("config", 1, 0.1, batch, 1, state, random, random, random, {"step": {key: value}})


def evidence(oracle, twin=None, noise=0.0, reference=1.0):
    twins = {} if twin is None else {"step": {KEY: torch.tensor([twin], dtype=torch.float64)}}
    return Evidence(
        {"step": {KEY: abs(reference - oracle)}},
        {"step": {KEY: torch.tensor([oracle], dtype=torch.float64)}},
        twins,
        noise={"step": {KEY: noise}},
    )


def judged(candidate, known, reference=1.0, exact=False):
    return judge(record_of(torch.tensor([reference])), "step", KEY, torch.tensor([candidate]), known, exact=exact)


# With a twin


def test_a_difference_that_float64_makes_vanish_is_rounding():
    assert judged(1.0 + EPS, evidence(1.0, twin=1.0 + 1e-16)).word == "equal_up_to_rounding"


def test_a_difference_that_stays_in_float64_is_another_formula():
    found = judged(1.001, evidence(1.0, twin=1.001))
    assert found.word == "different"
    assert found.formula_error == pytest.approx(0.001)


def test_a_candidate_that_rounds_a_thousand_times_worse_is_not_another_formula():
    found = judged(1.0 + 1000 * EPS, evidence(1.0, twin=1.0))
    assert found.word == "equal_up_to_rounding"
    assert found.candidate_error == pytest.approx(1000 * EPS)


def test_a_reference_that_rounds_worse_than_the_candidate_is_no_fault_of_the_candidate():
    found = judged(1.0, evidence(1.0, twin=1.0, reference=1.0 + 50 * EPS), reference=1.0 + 50 * EPS)
    assert (found.word, found.candidate_error) == ("equal_up_to_rounding", 0.0)


def test_another_formula_below_the_floor_is_remarked_on():
    found = judged(1.0 + EPS, evidence(1.0, twin=1.0 + 0.9 * EPS))
    assert (found.word, found.hidden) == ("equal_up_to_rounding", True)


def test_rounding_is_not_remarked_on():
    assert not judged(1.0 + EPS, evidence(1.0, twin=1.0)).hidden


def test_a_difference_below_its_floor_is_never_called_different():
    """A twin that lost some of the candidate's state may stand anywhere."""
    found = judged(1.0 + EPS / 2, evidence(1.0, twin=1.5))
    assert (found.word, found.hidden) == ("equal_up_to_rounding", True)


# Without a twin


def test_without_a_twin_an_error_within_some_floors_is_rounding():
    found = judged(1.0 + 0.9 * ROUNDING_FACTOR * EPS, evidence(1.0))
    assert (found.word, found.formula_error) == ("equal_up_to_rounding", None)


def test_without_a_twin_a_larger_error_is_different():
    assert judged(1.0 + 2 * ROUNDING_FACTOR * EPS, evidence(1.0)).word == "different"


# No numbers


def test_a_nan_on_the_candidate_is_different():
    found = judged(math.nan, evidence(1.0, twin=1.0))
    assert (found.word, found.difference.problem) == ("different", "nan on the candidate, 1.0 on the reference")


def test_a_nan_on_both_sides_is_inconclusive():
    assert judged(math.nan, evidence(1.0, twin=1.0), reference=math.nan).word == "inconclusive"


def test_a_reference_without_an_oracle_is_inconclusive():
    known = Evidence({}, {})
    assert judged(1.5, known).word == "inconclusive"


def test_a_missing_tensor_is_different():
    found = judge(record_of(torch.tensor([1.0])), "step", KEY, None, evidence(1.0), exact=False)
    assert (found.word, found.difference.problem) == ("different", "None on the candidate")


# Exact


def test_where_every_bit_counts_the_last_one_is_different():
    assert judged(1.0 + EPS, None, exact=True).word == "different"


# The floor


def test_the_floor_is_one_unit_in_the_last_place_at_least():
    assert floor_of(record_of(torch.tensor([4.0])), "step", KEY, None) == 4 * EPS


def test_the_floor_is_the_error_of_the_reference_if_that_is_more():
    assert floor_of(record_of(torch.tensor([1.0])), "step", KEY, evidence(1.01)) == pytest.approx(0.01)


def test_the_floor_is_the_noise_if_that_is_more():
    assert floor_of(record_of(torch.tensor([1.0])), "step", KEY, evidence(1.0, noise=0.25)) == 0.25


def test_an_infinite_noise_raises_no_floor():
    assert floor_of(record_of(torch.tensor([1.0])), "step", KEY, evidence(1.0, noise=math.inf)) == EPS


def test_a_missing_reference_has_no_floor():
    assert floor_of(record_of(None), "step", KEY, evidence(1.0)) == 0.0


def test_the_excess_counts_floors():
    assert judged(1.0 + 10 * EPS, evidence(1.0, twin=1.0)).excess == pytest.approx(10)


def test_no_difference_has_no_excess():
    assert judged(1.0, evidence(1.0, twin=1.0)).excess == 0.0
