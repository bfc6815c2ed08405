"""An explanation as JSON; ``docs/explain-step.md`` describes the keys."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from trainloop.explain.results import Explanation

SCHEMA_VERSION = 1


def as_json(explanation: Explanation) -> str:
    """Return the facts as one JSON object; numbers that JSON lacks become the texts ``nan``, ``inf`` and ``-inf``."""
    facts = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(explanation)}
    return json.dumps(_plain(facts), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
