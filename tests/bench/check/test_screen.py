"""How a report looks, line by line; and the same as JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import math

import pytest
from rich.console import Console

from trainloop.bench.check.as_json import as_json
from trainloop.bench.check.report import Adjoint, CheckReport, Coverage, Failure, Row
from trainloop.bench.check.screen import as_text, print_report

RIGHT = Row("conv2d", "im2col", "forward", "float32", 160, 0, 3.26e-7, 6e-7, 1.3e-7, 5e-6, "n1 c33 o2 h5 w6 k3 p1")
ROWS = (
    RIGHT,
    dataclasses.replace(RIGHT, dtype="float64", rel_err=6e-16, library_rel_err=math.nan, allowed=1e-14),
    dataclasses.replace(RIGHT, algorithm="mine", failed=76),
    dataclasses.replace(RIGHT, operator="conv_transpose2d", algorithm="scatter", failed=160, rel_err=0.0),
)
FAILURE = Failure(
    operator="conv2d",
    algorithm="mine",
    direction="forward",
    dtype="float32",
    layout="NCHW",
    kind="wrong values",
    job="n1 c1 o1 h3 w4 k1",
    first_job="n2 c3 o4 h6 w5 k3 p1",
    corner="an ordinary case",
    found="0 at [0, 0, 2, 3]",
    expected="-1.7517462",
    rel_err=0.53,
    max_err=0.96,
    library_rel_err=2.7e-8,
    allowed=5e-6,
    cases=76,
)
RAISED = dataclasses.replace(
    FAILURE,
    kind="raised ValueError",
    job="n1 c1 o1 h1 k1",
    found="boom",
    expected="a result",
    rel_err=math.nan,
    corner="",
)
HOLDS = Adjoint("im2col", "scatter", 97, 3.2e-16, 1e-14, "", "")
BROKEN = Adjoint(
    "mine", "scatter", 3, 3.3e-3, 1e-14, "transpose n1 c1 o1 h3 w4 k1", "⟨conv(x), y⟩ = 1, ⟨x, conv_transpose(y)⟩ = 2"
)
COVERAGE = (
    Coverage("conv2d", "im2col", 78, 20, 0, "", stopped=False, missing=(), cases=320),
    Coverage(
        "conv2d",
        "mine",
        50,
        7,
        9,
        "the kernel must be 3×3",
        stopped=True,
        missing=("grad_input",),
        cases=160,
        too_slow=1,
    ),
    Coverage("conv_transpose2d", "scatter", 78, 20, 0, "", stopped=False, missing=(), cases=160),
)
REPORT = CheckReport(
    ROWS, (FAILURE, RAISED), COVERAGE, (HOLDS, dataclasses.replace(BROKEN, transposed="aten"), BROKEN), 20, 7, 6.5
)
CLEAN = CheckReport(ROWS[:1], (), COVERAGE[:1], (HOLDS,), 20, 7, 6.5)


def test_the_whole_page_as_text():
    assert as_text(REPORT).splitlines() == [
        "conv2d",
        "algorithm  direction  type     cases    error  library's  allowed  verdict",
        "im2col     forward    float32    160  3.3e-07    1.3e-07  5.0e-06  right",
        "           forward    float64    160  6.0e-16          –  1.0e-14  right",
        "mine       forward    float32    160  3.3e-07    1.3e-07  5.0e-06  FAIL in 76",
        "",
        "conv_transpose2d",
        "algorithm  direction  type     cases  error  library's  allowed  verdict",
        "scatter    forward    float32    160      –    1.3e-07  5.0e-06  FAIL in 160",
        "",
        "error: ‖result − right‖ / ‖right‖ in the worst case, right in float64; library's: its own error there",
        "note  mine (conv2d) refuses 9 jobs; the first: the kernel must be 3×3",
        "note  mine (conv2d) has no grad_input",
        "note  mine (conv2d) is too slow for 1 job, left out",
        "note  mine (conv2d) had no time left after 57 jobs",
        "note  ⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩ for 1 pair of algorithms, in 97 to 97 jobs each: largest difference "
        "3.2e-16 in float64",
        "",
        "FAIL  mine (conv2d), forward: wrong values, in 76 cases",
        "  smallest  n1 c1 o1 h3 w4 k1 (float32, NCHW)",
        "  found     0 at [0, 0, 2, 3]",
        "  expected  -1.7517462",
        "  error     5.3e-01 in the 2-norm, 9.6e-01 of the worst element; allowed 5.0e-06, the library has 2.7e-08",
        "  noticed   n2 c3 o4 h6 w5 k3 p1 (an ordinary case)",
        "",
        "FAIL  mine (conv2d), forward: raised ValueError, in 76 cases",
        "  smallest  n1 c1 o1 h1 k1 (float32, NCHW)",
        "  found     boom",
        "  expected  a result",
        "  noticed   n2 c3 o4 h6 w5 k3 p1 (drawn at random)",
        "",
        "FAIL  mine (conv2d) is not adjoint to aten, scatter (conv_transpose2d)",
        "  smallest  transpose n1 c1 o1 h3 w4 k1 (float64)",
        "  found     ⟨conv(x), y⟩ = 1, ⟨x, conv_transpose(y)⟩ = 2",
        "  expected  equal numbers",
        "  error     3.3e-03 of the sum of the absolute terms; allowed 1.0e-14",
        "",
        "FAILED: 1 of 3 algorithms with 2 failures (6.5 s, seed 7)",
    ]


IDLE = dataclasses.replace(COVERAGE[0], cases=0)
VERDICTS = {
    "right": (CLEAN, "PASSED: 1 algorithm right in 160 cases (6.5 s, seed 7)"),
    "adjoint": (
        dataclasses.replace(CLEAN, adjoints=(HOLDS, BROKEN)),
        "FAILED: the adjoint identity does not hold for 1 of 2 pairs (6.5 s, seed 7)",
    ),
    "idle": (dataclasses.replace(CLEAN, coverage=(IDLE,)), "FAILED: not one case was tried of im2col (6.5 s, seed 7)"),
    "nothing": (dataclasses.replace(CLEAN, coverage=()), "FAILED: there was nothing to check (6.5 s, seed 7)"),
}


@pytest.mark.parametrize(("report", "line"), VERDICTS.values(), ids=VERDICTS)
def test_the_last_line_is_the_verdict(report, line):
    assert as_text(report).splitlines()[-1] == line
    assert line.startswith("PASSED") == report.ok


def printed(report, **settings):
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=110, **settings))
    return stream.getvalue()


def test_a_terminal_gets_colours_and_a_file_does_not():
    assert "\x1b[" in printed(REPORT, force_terminal=True, color_system="standard")
    assert printed(REPORT, force_terminal=False).rstrip("\n") == as_text(REPORT)


def no_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_json_knows_no_nan():
    back = json.loads(as_json(REPORT), parse_constant=no_constant)
    assert back["ok"] is False
    assert back["rows"][1]["library_rel_err"] == "nan"
    assert back["failures"][0]["job"] == "n1 c1 o1 h3 w4 k1"
    assert set(back) == {"ok", *(field.name for field in dataclasses.fields(CheckReport))}
