"""JSON has the keys that the page documents, and every sample."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from trainloop.bench.as_json import as_json
from trainloop.bench.results import Report, Row, Summary

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "benchmark-conv.md").read_text(encoding="utf-8")
ASKED_FOR = {
    *("problem", "direction", "algorithm", "layout", "kernel", "ok", "rel_err", "library_rel_err", "median_ms"),
    *("samples_ms", "speedup", "speedup_ci", "gflops_effective", "gflops_actual", "workspace_mib"),
}


def test_everything_is_written(report, wrong_row):
    made = report(wrong_row)
    found = json.loads(as_json(made))
    assert set(found) == {"machine", "settings", "rows", "summary", "complete", "seconds"}
    assert len(found["rows"]) == len(made.rows)
    assert set(found["rows"][0]) == {field.name for field in dataclasses.fields(Row)} >= ASKED_FOR
    assert found["rows"][2]["samples_ms"] == [1.9, 2.0, 2.1]
    assert found["rows"][2]["speedup_ci"] == [1.9, 2.1]
    assert found["rows"][3]["ok"] is None
    assert found["rows"][4]["ok"] is False
    assert found["summary"][2]["geometric_mean"] == pytest.approx(2.0)


def test_an_error_that_is_no_number_is_a_text(report, a_row):
    found = json.loads(as_json(report(a_row(ok=False, rel_err=math.nan))))
    assert found["rows"][-1]["rel_err"] == "nan"


@pytest.mark.parametrize("kind", [Report, Row, Summary])
def test_every_key_is_documented(kind):
    documented = set(re.findall(r"^\| `(\w+)` \|", DOCUMENTED, re.MULTILINE))
    assert {field.name for field in dataclasses.fields(kind)} <= documented
