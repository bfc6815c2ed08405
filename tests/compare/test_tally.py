"""Adding up steps: counts, the worst tensor of a stage, the first difference."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.compare.evidence import Evidence
from trainloop.compare.judge import Judged
from trainloop.compare.key import STAGES, Key
from trainloop.compare.measure import Difference
from trainloop.compare.record import State, StepRecord
from trainloop.compare.tally import Tally, has_nan, unequal, worst_word
from trainloop.data.pipeline import Batch
from trainloop.random_state import RandomState

GRAD, PARAM = Key("grad", "w"), Key("param", "w")


def record_of(step=1, case="config", **outputs):
    random = RandomState(torch.device("cpu"))
    batch = Batch(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    return StepRecord(case, step, 0.1, batch, 1, State({}, {}, {}, {}), random, random, random, outputs)


def judged(word, abs_err=1.0, floor=0.5, stage="step", key=PARAM, **more):
    return Judged(stage, key, word, Difference((0,), 1.0, 1.0 + abs_err, abs_err), floor, **more)


def test_tensors_of_unequal_bits_come_in_the_order_of_the_step():
    one, two = torch.zeros(1), torch.ones(1)
    record = record_of(sync={GRAD: one}, backward={GRAD: one})
    found = list(unequal(record, {"sync": {GRAD: two}, "backward": {GRAD: two}}))
    assert [stage for stage, _, _ in found] == ["backward", "sync"]


def test_what_the_candidate_has_not_is_not_compared():
    record = record_of(forward={Key("activation", "relu"): torch.zeros(1)})
    assert list(unequal(record, {"forward": {}})) == []


def test_none_and_zeros_are_alike_before_a_backward_that_adds_to_them():
    record = record_of(zero_grad={GRAD: None}, backward={GRAD: torch.ones(2)})
    assert list(unequal(record, {"zero_grad": {GRAD: torch.zeros(2)}})) == []


def test_none_and_zeros_differ_where_the_backward_gives_nothing():
    record = record_of(zero_grad={GRAD: None}, backward={GRAD: None})
    assert len(list(unequal(record, {"zero_grad": {GRAD: torch.zeros(2)}}))) == 1


def test_none_and_something_else_than_zeros_differ():
    record = record_of(zero_grad={GRAD: None}, backward={GRAD: torch.ones(2)})
    assert len(list(unequal(record, {"zero_grad": {GRAD: torch.ones(2)}}))) == 1


def test_the_first_tensor_with_a_nan_is_found():
    tensors = {Key("grad", "a"): None, Key("buffer", "n"): torch.tensor(3), GRAD: torch.tensor([1.0, math.nan])}
    assert has_nan(tensors) == GRAD
    assert has_nan({Key("grad", "a"): torch.ones(2)}) is None


def test_only_common_tensors_are_counted():
    tally = Tally(STAGES)
    record = record_of(backward={GRAD: torch.ones(1), Key("grad", "other"): torch.ones(1)})
    tally.count(record, {"backward": {GRAD: torch.ones(1)}}, {"backward": 1})
    assert (tally.of["backward"].tensors, tally.of["backward"].same_bits) == (1, 0)


def test_counts_add_up_over_steps():
    tally = Tally(("backward",))
    for _ in range(3):
        tally.count(record_of(backward={GRAD: torch.ones(1)}), {"backward": {GRAD: torch.ones(1)}}, {})
    assert (tally.of["backward"].tensors, tally.of["backward"].same_bits) == (3, 3)


def test_the_worst_tensor_has_the_most_floors():
    tally = Tally(STAGES)
    for abs_err, name in ((1.0, "small"), (3.0, "large"), (2.0, "middle")):
        tally.add(record_of(), judged("equal_up_to_rounding", abs_err, key=Key("param", name)))
    assert tally.of["step"].report().worst == "large"


def test_a_different_tensor_is_worse_than_one_with_more_floors():
    tally = Tally(STAGES)
    tally.add(record_of(), judged("equal_up_to_rounding", 100.0, key=Key("param", "rounding")))
    tally.add(record_of(), judged("different", 1.0, key=Key("param", "formula")))
    tally.add(record_of(), judged("equal_up_to_rounding", 900.0, key=Key("param", "more rounding")))
    report = tally.of["step"].report()
    assert (report.worst, report.verdict) == ("formula", "different")


def test_the_first_difference_stays_the_first():
    tally = Tally(STAGES)
    tally.add(record_of(step=2), judged("different", 1.0, key=Key("param", "first")))
    tally.add(record_of(step=3), judged("different", 9.0, key=Key("param", "second")))
    assert (tally.first.step, tally.first.tensor, tally.first.abs_err) == (2, "first", 1.0)


def test_rounding_is_no_first_difference():
    tally = Tally(STAGES)
    tally.add(record_of(), judged("equal_up_to_rounding"))
    assert tally.first is None


def test_a_report_has_the_numbers_of_the_worst_tensor():
    tally = Tally(STAGES)
    more = {"reference_error": 0.1, "candidate_error": 0.2, "formula_error": 0.3}
    tally.add(record_of(step=4, case="blank batch"), judged("different", 2.0, **more))
    report = tally.of["step"].report()
    assert (report.case, report.step, report.index, report.max_abs_err, report.floor) == (
        "blank batch",
        4,
        (0,),
        2,
        0.5,
    )
    assert (report.reference_error, report.candidate_error, report.formula_error) == (0.1, 0.2, 0.3)


def test_what_float64_shows_below_the_floor_is_kept_by_name():
    tally = Tally(STAGES)
    tally.add(record_of(), judged("equal_up_to_rounding", hidden=True))
    assert tally.hidden == {"optimizer step: w"}


def test_what_cannot_be_judged_is_kept_with_its_place():
    tally = Tally(STAGES)
    tally.add(record_of(step=2), judged("inconclusive"))
    assert tally.nan == "step 2 · optimizer step · w: no number"


def test_a_stage_without_a_difference_shows_its_largest_relative_floor():
    tally = Tally(("step",))
    record = record_of()
    record.outputs["step"] = {Key("param", "a"): torch.ones(1), Key("param", "b"): torch.full((1,), 10.0)}
    errors = {Key("param", "a"): 0.001, Key("param", "b"): 0.002}
    tally.show_floor(record, Evidence({"step": errors}, {}))
    report = tally.of["step"].report()
    assert (report.worst, report.floor, report.reference_error) == ("a", pytest.approx(0.001), 0.001)


def test_the_worst_word_wins():
    assert worst_word({"step": "equal", "loss": "different", "sync": "inconclusive"}) == "different"
    assert worst_word({"step": "equal_up_to_rounding", "loss": "inconclusive"}) == "inconclusive"
    assert worst_word({}) == "equal"
