"""JSON without NaN and infinity."""

from __future__ import annotations

import json
import math

import pytest

from trainloop.report.strict_json import TEXTS, strict_json


@pytest.mark.parametrize(("value", "text"), [(math.nan, TEXTS[0]), (math.inf, TEXTS[1]), (-math.inf, TEXTS[2])])
def test_a_number_that_json_lacks_is_a_text_however_deep(value, text):
    assert json.loads(strict_json({"a": [({"b": value},)]})) == {"a": [[{"b": text}]]}


def test_everything_else_stays_what_it_is():
    facts = {"text": "größer", "number": 0.1, "count": 3, "yes": True, "none": None}
    assert json.loads(strict_json(facts)) == facts
    assert "größer" in strict_json(facts)
