"""A verdict as JUnit XML."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from trainloop.compare.as_junit import as_junit, legal
from trainloop.compare.verdict import StageReport


def parsed(verdict):
    return ElementTree.fromstring(as_junit(verdict).encode())


def case(verdict, name):
    (found,) = parsed(verdict).findall(f"testsuite/testcase[@name='{name}']")
    return found


def counts(verdict):
    suite = parsed(verdict).find("testsuite")
    return tuple(int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))


def test_there_is_one_suite_with_a_case_for_each_stage(equal_verdict):
    (suite,) = parsed(equal_verdict).findall("testsuite")
    assert suite.get("name") == "manual against builtin"
    names = [case.get("name") for case in suite.findall("testcase")]
    assert names == ["zero_grad", "forward", "loss", "backward", "sync", "optimizer step"]


def test_the_file_says_that_it_is_utf_8(equal_verdict):
    assert as_junit(equal_verdict).startswith("<?xml version='1.0' encoding='utf-8'?>\n")


def test_equal_stages_pass(equal_verdict):
    assert counts(equal_verdict) == (6, 0, 0, 0)
    assert (
        case(equal_verdict, "forward").find("system-out").text
        == "equal, bit for bit: all 44 tensors have the same bits"
    )


def test_rounding_passes_with_its_evidence(rounding_verdict):
    assert counts(rounding_verdict) == (6, 0, 0, 0)
    text = case(rounding_verdict, "optimizer step").find("system-out").text
    assert "443 of 464" in text
    assert "off float64 by 1.3e-10 (reference), 2.4e-10 (candidate)" in text


def test_a_different_stage_fails_with_the_first_place_as_its_message(different_verdict):
    assert counts(different_verdict) == (6, 1, 0, 0)
    failure = case(different_verdict, "optimizer step").find("failure")
    assert failure.get("type") == "different"
    assert failure.get("message") == different_verdict.reason


def test_a_failure_names_the_cause_and_both_numbers(different_verdict):
    text = case(different_verdict, "optimizer step").find("failure").text
    assert "cause: eps inside the root" in text
    assert "there the reference has 0.25 and the candidate 0.25071" in text
    assert "worst at block1.1.bias[22], step 2" in text


def test_a_stage_that_is_different_too_has_its_own_place(different_verdict, different_stage):
    backward = dataclasses.replace(different_stage, stage="backward", worst="grad of head.weight", index=(1, 2))
    verdict = dataclasses.replace(different_verdict, stages=(*different_verdict.stages, backward))
    message = case(verdict, "backward").find("failure").get("message")
    assert message == "7.1e-04 against a floor of 3.0e-08, at grad of head.weight[1,2], step 2"


def test_an_inconclusive_stage_is_an_error(equal_verdict):
    stage = StageReport("loss", "inconclusive", 3, 0, "loss", (), 1, "config")
    reason = "no number to compare: step 1 · loss · loss: NaN on both sides"
    verdict = dataclasses.replace(equal_verdict, verdict="inconclusive", reason=reason, stages=(stage,))
    error = case(verdict, "loss").find("error")
    assert (error.get("type"), error.get("message")) == ("inconclusive", reason)


def test_stages_without_a_tensor_are_skipped_and_a_case_of_its_own_carries_the_error(inconclusive_verdict):
    assert counts(inconclusive_verdict) == (7, 0, 1, 6)
    error = case(inconclusive_verdict, "whole comparison").find("error")
    assert error.get("message") == "step 1 · forward · candidate: ValueError: no"


def test_stages_that_nobody_asked_for_are_skipped(equal_verdict):
    verdict = dataclasses.replace(equal_verdict, stages=equal_verdict.stages[-1:])
    assert counts(verdict) == (6, 0, 0, 5)
    assert case(verdict, "forward").find("skipped").get("message") == "not compared"


def test_the_time_of_a_case_is_the_candidates(equal_verdict):
    assert case(equal_verdict, "optimizer step").get("time") == "0.001000"


def test_the_time_of_the_suite_is_that_of_the_comparison(equal_verdict):
    assert parsed(equal_verdict).find("testsuite").get("time") == "4.200"


def test_the_environment_stands_in_the_properties(equal_verdict):
    found = {item.get("name"): item.get("value") for item in parsed(equal_verdict).iter("property")}
    assert found["machine"] == "cpu · torch 2.14.1"
    assert found["verdict"] == "equal"


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_becomes_a_question_mark(text):
    assert legal(f"a{text[0]}b") == "a?b"


def test_a_title_of_the_users_cannot_break_the_file(equal_verdict):
    verdict = dataclasses.replace(equal_verdict, candidate='<a b="c">&\x00]]>')
    assert parsed(verdict).find("testsuite").get("name") == '<a b="c">&?]]> against builtin'
