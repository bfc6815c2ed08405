"""The JSON: the committed example is what the command makes of the default problem."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from trainloop.explain_conv.as_json import as_json, plain
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.parse import DEFAULT_PROBLEM, parse_problem

EXAMPLE = Path(__file__).parent / "fixtures" / "example.json"


def default():
    return explain_conv(parse_problem(DEFAULT_PROBLEM, None))


def test_the_example_is_what_the_default_problem_gives():
    made, kept = json.loads(as_json(default())), json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert made.pop("torch_version")
    del kept["torch_version"]
    assert made == kept


def test_a_line_for_each_key():
    lines = as_json(default()).splitlines()
    names = ["schema_version", "kind", *(field.name for field in dataclasses.fields(Explanation))]
    assert [line.partition(":")[0].strip() for line in lines[1:-1]] == [f'"{name}"' for name in names]


def test_named_tuples_become_lists_and_tensors_lists_of_lists():
    facts = plain(default())
    assert facts["axes"][0]["taps"][0] == [[0, 1, None, "inserted"], [1, 0, 0, "input"], [2, -1, None, "padding"]]
    assert facts["input"][0][0] == [1, 2, 3, 4, 5]
