from __future__ import annotations

import json
import re
from pathlib import Path

from trainloop.explain.as_json import SCHEMA_VERSION, as_json

DOCS = Path(__file__).parents[2] / "docs" / "explain-step.md"


COMPARED = ({"manual", "builtin", "same_bits", "ulps"}, {"tensors", "same_bits", "largest_difference"})


def paths(value, prefix=""):
    """The dotted keys; a list counts by its first item, and what has keys of its own (a comparison, numbers by name) as one."""
    if isinstance(value, list):
        return paths(value[0], f"{prefix}[]") if value and isinstance(value[0], dict) else {prefix}
    if not isinstance(value, dict) or prefix in ("subject.hyper_parameters", "step.scalars") or set(value) in COMPARED:
        return {prefix}
    return set().union(*(paths(item, f"{prefix}.{key}".strip(".")) for key, item in value.items()))


def test_the_docs_list_every_key(tiny):
    facts = json.loads(as_json(tiny.explained()))
    text = DOCS.read_text(encoding="utf-8").partition("## The JSON")[2]
    listed = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert paths(facts) | {f"….{key}" for keys in COMPARED for key in keys} == listed


def test_the_version_comes_first(tiny):
    facts = json.loads(as_json(tiny.explained()))
    assert next(iter(facts)) == "schema_version"
    assert facts["schema_version"] == SCHEMA_VERSION == 1


def test_numbers_are_whole(tiny):
    facts = json.loads(as_json(tiny.explained()))
    assert facts["step"]["after"]["manual"] == tiny.explained().step.after.manual
    assert facts["backward"]["grads"] == [None, 2.0]
    assert facts["weight"]["index"] == [0, 0]


def test_what_json_lacks_becomes_text(tiny):
    text = as_json(tiny.explained("optimizer.lr=1e38", step=4))
    assert "NaN" not in text
    facts = json.loads(text)
    assert facts["step"]["after"]["manual"] == "nan"
