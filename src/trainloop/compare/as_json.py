"""A verdict as JSON, and the JSON Schema of it, which ``docs/compare-modes.schema.json`` publishes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from trainloop.compare import verdict as results
from trainloop.compare.verdict import Verdict
from trainloop.report.strict_json import TEXTS, strict_json

NUMBER = {
    "description": "A number, or the text for one that JSON lacks.",
    "anyOf": [{"type": "number"}, {"enum": [*TEXTS]}],
}


def as_json(verdict: Verdict) -> str:
    """Return the verdict as one JSON object; numbers that JSON lacks become the texts ``nan``, ``inf`` and ``-inf``."""
    return strict_json(dataclasses.asdict(verdict)) + "\n"


def schema_text() -> str:
    """Return the content of ``docs/compare-modes.schema.json``."""
    return strict_json(json_schema()) + "\n"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of :func:`as_json`: types from the dataclasses, descriptions from their docstrings."""
    from pydantic import TypeAdapter

    generated = TypeAdapter(Verdict).json_schema(mode="serialization")
    parts = generated.pop("$defs")
    for name, part in {**parts, Verdict.__name__: generated}.items():
        _describe(part, getattr(results, name))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What trainloop compare-modes found",
        **_with_number(generated),
        "$defs": {**_with_number(parts), "number": NUMBER},
    }


def _describe(part: dict[str, Any], cls: type) -> None:
    """Write what the docstring of a dataclass says into its part of the schema; every field is always there."""
    documentation = (inspect.getdoc(cls) or "").replace("``", "`")
    described = arguments(documentation)
    part.pop("title")
    part["description"] = documentation.partition("\n")[0]
    part["required"] = list(part["properties"])
    for name, value in part["properties"].items():
        value.pop("title", None)
        value.pop("default", None)
        value["description"] = described[name]


def arguments(documentation: str) -> dict[str, str]:
    """Return what the ``Args:`` of a docstring say, by name."""
    section = documentation.partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _with_number(value: Any) -> Any:
    """Refer to the definition of a number wherever one stands."""
    if isinstance(value, list):
        return [_with_number(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _with_number(item) for key, item in value.items() if (key, item) != ("type", "number")}
    return plain if len(plain) == len(value) else {"$ref": "#/$defs/number", **plain}
