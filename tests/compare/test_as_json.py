"""A verdict as JSON, and its published schema."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from trainloop.compare import compare
from trainloop.compare.as_json import arguments, as_json, json_schema, schema_text
from trainloop.compare.verdict import Verdict

SCHEMA = Path(__file__).parents[2] / "docs" / "compare-modes.schema.json"
KINDS = ("equal_verdict", "rounding_verdict", "different_verdict", "inconclusive_verdict")


def follow(schema, part):
    """Return the part of the schema that a ``$ref`` or the choice of null leads to."""
    part = next((choice for choice in part.get("anyOf", ()) if "$ref" in choice), part)
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def check(schema, part, value, where="verdict"):
    """Fail where an object has not just the keys that the schema has."""
    part = follow(schema, part)
    if isinstance(value, list):
        for item in value:
            check(schema, part["items"], item, where)
    elif isinstance(value, dict) and "properties" in part:
        assert list(value) == list(part["properties"]) == part["required"], where
        for key, item in value.items():
            check(schema, part["properties"][key], item, f"{where}.{key}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_are_those_of_the_schema(kind, request):
    schema = json_schema()
    check(schema, schema, json.loads(as_json(request.getfixturevalue(kind))))


@pytest.mark.parametrize("kind", KINDS)
def test_json_reads_back_as_the_same_verdict(kind, request):
    verdict = request.getfixturevalue(kind)
    assert TypeAdapter(Verdict).validate_json(as_json(verdict)) == verdict


@pytest.mark.parametrize("settings", [{}, {"foreach": True}, {"lr": 0.2}], ids=str)
def test_a_real_verdict_reads_back(training_step, batches, settings):
    verdict = compare(training_step(), training_step(**settings), batches, steps=2)
    assert TypeAdapter(Verdict).validate_json(as_json(verdict)) == verdict


def test_the_published_schema_is_what_the_code_generates():
    command = "from trainloop.compare.as_json import schema_text; print(schema_text(), end='')"
    message = f'python -c "{command}" > docs/compare-modes.schema.json'
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), message


def test_numbers_that_json_lacks_become_texts(different_verdict):
    stage = dataclasses.replace(different_verdict.stages[-1], max_abs_err=math.inf, floor=math.nan)
    first = dataclasses.replace(different_verdict.first, candidate=-math.inf)
    facts = json.loads(as_json(dataclasses.replace(different_verdict, stages=(stage,), first=first)))
    assert facts["stages"][0]["max_abs_err"] == "inf"
    assert facts["stages"][0]["floor"] == "nan"
    assert facts["first"]["candidate"] == "-inf"


def test_the_schema_allows_those_texts_wherever_a_number_stands():
    schema = json_schema()
    assert '"type": "number"' not in json.dumps({key: part for key, part in schema["$defs"].items() if key != "number"})
    assert schema["$defs"]["First"]["properties"]["abs_err"]["$ref"] == "#/$defs/number"
    assert schema["$defs"]["number"]["anyOf"] == [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]


def test_a_text_that_is_no_number_does_not_read_back(equal_verdict):
    with pytest.raises(ValidationError, match="seconds"):
        TypeAdapter(Verdict).validate_json(as_json(equal_verdict).replace('"seconds": 4.2', '"seconds": "four"'))


def test_null_stands_for_no_first_difference_and_no_cause(equal_verdict):
    facts = json.loads(as_json(equal_verdict))
    assert (facts["first"], facts["cause"]) == (None, None)


def test_every_key_is_described():
    schema = json_schema()
    for part in (schema, *(part for name, part in schema["$defs"].items() if name != "number")):
        assert all(value["description"] for value in part["properties"].values())


def test_a_description_over_two_lines_is_one():
    documentation = "Head.\n\nArgs:\n    one: of\n        two lines.\n    two: short.\n\nRaises:\n    Error: never."
    assert arguments(documentation) == {"one": "of two lines.", "two": "short."}


def test_a_nan_in_a_batch_gives_strict_json(training_step):
    x = torch.full((4, 6), math.nan)
    verdict = compare(training_step(), training_step(), [(x, torch.zeros(4, dtype=torch.int64))])
    assert verdict.verdict == "inconclusive"
    json.loads(as_json(verdict), parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
