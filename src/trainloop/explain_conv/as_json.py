"""An explanation as JSON; ``docs/explain-conv.md`` describes the keys."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from typing import Any

from torch import Tensor

from trainloop.explain_conv.explanation import Explanation

SCHEMA_VERSION = 1


def as_json(explanation: Explanation) -> str:
    """Return everything as one JSON object, a line for each key of the object and of its largest parts."""
    return one_object({"schema_version": SCHEMA_VERSION, "kind": "explanation", **plain(explanation)})


def one_object(facts: dict[str, Any]) -> str:
    """Return an object with a line for each key; what lies deeper is written without line breaks.

    Args:
        facts: plain values by name.
    """
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    return "{\n  " + ",\n  ".join(lines) + "\n}"


def plain(value: Any) -> Any:
    """Return dataclasses as objects, tensors and tuples (named ones too) as lists, fractions as numbers."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value
