"""How often something happens: after so many steps, so much time, or so many epochs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

NUMBER = r"([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)"
PATTERN = rf"^(never|{NUMBER} ?(s|m|h)|[1-9][0-9]* ?(steps?|epochs?))$"
"""of the text; a whole number alone means steps"""
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
Unit = Literal["steps", "seconds", "epochs", "never"]


@dataclass(frozen=True)
class Interval:
    """A distance between two events of a run.

    Args:
        amount: how many of the unit; 0 for never.
        unit: ``steps``, ``seconds``, ``epochs`` or ``never``.
    """

    amount: float
    unit: Unit


def parse_interval(value: int | str) -> Interval:
    """Return what a config means by ``100``, ``100 steps``, ``30s``, ``5m``, ``1 epoch`` or ``never``.

    Args:
        value: a number of steps, or text that fits :data:`PATTERN`.
    """
    if isinstance(value, int):
        return Interval(value, "steps")
    if value == "never":
        return Interval(0, "never")
    number = re.match(NUMBER, value)
    assert number is not None, value
    amount, unit = float(number[0]), value[number.end() :].strip()
    if unit in SECONDS:
        return Interval(amount * SECONDS[unit], "seconds")
    return Interval(amount, "steps" if unit.startswith("step") else "epochs")
