"""JSON as its standard has it, which knows no NaN and no infinity."""

from __future__ import annotations

import json
import math
from typing import Any

TEXTS = ("nan", "inf", "-inf")
"""what the numbers that JSON lacks are written as"""


def strict_json(facts: Any, *, ascii_only: bool = False) -> str:
    """Return facts as indented JSON; numbers that JSON lacks become the texts ``nan``, ``inf`` and ``-inf``.

    Args:
        facts: dictionaries, lists and tuples of texts, numbers, booleans and None.
        ascii_only: escape every other character, so that no text of a file can steer a terminal, and none is lost.
    """
    return json.dumps(_plain(facts), indent=2, ensure_ascii=ascii_only, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
