"""A verdict as JUnit XML, which CI servers show as tests: one for each stage of the step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from trainloop.compare.key import STAGES, title
from trainloop.compare.verdict import StageReport, Verdict
from trainloop.compare.wording import (
    NOT_COMPARED,
    WORDS,
    cause_text,
    first_sentence,
    first_values,
    number,
    oracle_text,
    same_bits,
    worst_text,
)

SUITE = "trainloop compare-modes"
WHOLE = "whole comparison"
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""characters that XML 1.0 cannot hold, not even escaped"""


def as_junit(verdict: Verdict) -> str:
    """Return the verdict as one test suite with a test case for each stage.

    A stage that is different is a ``failure`` with the first difference and its cause, one that is inconclusive an ``error``,
    and one that was not compared is ``skipped``. What no stage can answer for, such as a candidate that raised, is an
    ``error`` of one more test case. The time of a test case is the candidate's, where times were measured.
    """
    suites = Element("testsuites", name=SUITE)
    suite = SubElement(suites, "testsuite", name=legal(f"{verdict.candidate} against {verdict.reference}"))
    properties = SubElement(suite, "properties")
    for name, value in {"verdict": verdict.verdict, "reason": verdict.reason, **verdict.environment}.items():
        SubElement(properties, "property", name=legal(name), value=legal(value))
    times = _seconds(verdict)
    reports = {report.stage: report for report in verdict.stages}
    for stage in STAGES:
        case = SubElement(suite, "testcase", name=title(stage), classname="compare-modes")
        case.set("time", f"{times.get(stage, 0.0):.6f}")
        case.extend(_outcome(reports.get(stage, StageReport(stage, "equal")), verdict))
    if not verdict.passed and not suite.findall("testcase/failure") and not suite.findall("testcase/error"):
        case = SubElement(suite, "testcase", name=WHOLE, classname="compare-modes", time="0.000000")
        case.append(_problem("error", verdict.verdict, verdict.reason, verdict.remarks))
    _count(suites, suite, verdict.seconds)
    ElementTree.indent(suites)
    xml: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml.decode() + "\n"


def _outcome(report: StageReport, verdict: Verdict) -> Iterator[Element]:
    """Yield what a test case holds: nothing if it passed."""
    facts = [text for text in (worst_text(report), oracle_text(report)) if text]
    if not report.tensors:
        yield Element("skipped", message=NOT_COMPARED)
    elif report.verdict == "different":
        yield _problem("failure", report.verdict, *_difference(report, verdict, facts))
    elif report.verdict == "inconclusive":
        yield _problem("error", report.verdict, verdict.reason, facts)
    else:
        output = Element("system-out")
        output.text = legal(
            "\n".join([f"{WORDS[report.verdict]}: {same_bits(report)} tensors have the same bits", *facts])
        )
        yield output


def _difference(report: StageReport, verdict: Verdict, facts: list[str]) -> tuple[str, list[str]]:
    """Return the message of a stage that is different, and what else is known."""
    first = verdict.first
    if first is None or first.stage != report.stage:
        return (
            f"{number(report.max_abs_err)} against a floor of {number(report.floor)}, at {worst_text(report)}",
            facts[1:],
        )
    cause = [f"cause: {cause_text(verdict.cause)}"] if verdict.cause is not None else []
    values = [text for text in (first_values(first),) if text]
    return first_sentence(first), [*values, *cause, f"worst at {facts[0]}", *facts[1:]]


def _problem(tag: str, kind: str, message: str, lines: Iterable[str]) -> Element:
    problem = Element(tag, type=kind, message=legal(message))
    problem.text = legal("\n".join([message, *lines]))
    return problem


def _seconds(verdict: Verdict) -> Mapping[str, float]:
    if verdict.timing is None:
        return {}
    return {row.stage: row.candidate_ms / 1000 for row in verdict.timing.stages}


def _count(suites: Element, suite: Element, seconds: float) -> None:
    """Write the sums that CI servers read from the head of a suite."""
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for element in (suites, suite):
        for name, value in counts.items():
            element.set(name, str(value))
        element.set("time", f"{seconds:.3f}")


def legal(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return FORBIDDEN.sub("?", text)
