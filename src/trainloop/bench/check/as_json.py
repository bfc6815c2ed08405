"""A check's report as plain values for JSON, which knows no NaN and no infinity: they become null."""

from __future__ import annotations

import dataclasses
import math

from trainloop.bench.check.report import CheckReport


def as_dict(report: CheckReport) -> dict[str, object]:
    """Return all fields of a report, and whether it is ``ok``."""
    return {"ok": report.ok, **{name: _plain(value) for name, value in dataclasses.asdict(report).items()}}


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
