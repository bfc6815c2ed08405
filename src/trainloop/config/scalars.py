"""What a plain YAML scalar means: the core rules of YAML 1.2, and nothing that surprises.

``1e-3``, ``1E5``, ``.5`` and ``1_000`` are numbers; ``on``, ``off``, ``yes``, ``no``, dates and ``1:30`` are text;
``010`` is ten. A number with an exponent but without a point, such as ``1e4``, is whole when its value is whole.
"""

from __future__ import annotations

import re

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INFINITIES = {".inf": float("inf"), ".nan": float("nan")}

# Digits may be grouped by single underscores. The lengths are bounded so that no text takes long to convert.
_DIGITS = r"\d(?:_?\d){0,300}"
_WHOLE = re.compile(rf"[-+]?{_DIGITS}", re.ASCII)
_RADIX = re.compile(r"0x[0-9a-fA-F]{1,64}|0o[0-7]{1,64}")
_FLOAT = re.compile(rf"([-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS}))([eE][-+]?\d{{1,4}})?", re.ASCII)
_LARGEST_WHOLE_EXPONENT = 18


def plain_value(text: str) -> bool | int | float | str | None:
    """Return the value of an unquoted scalar."""
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text.lstrip("+-").lower() in INFINITIES:
        magnitude = INFINITIES[text.lstrip("+-").lower()]
        return -magnitude if text.startswith("-") else magnitude
    return _number(text)


def _number(text: str) -> int | float | str:
    digits = text.replace("_", "")
    if _WHOLE.fullmatch(text):
        return int(digits)
    if _RADIX.fullmatch(text):
        return int(text, 16 if text[1] == "x" else 8)
    if match := _FLOAT.fullmatch(text):
        return _exponent_number(digits, match[1], match[2] or "")
    return text


def _exponent_number(digits: str, mantissa: str, exponent: str) -> int | float:
    power = int(exponent[1:] or 0)
    if "." not in mantissa and 0 <= power <= _LARGEST_WHOLE_EXPONENT:
        return int(mantissa.replace("_", "") + "0" * power)
    return float(digits)
