"""A check's report as JSON."""

from __future__ import annotations

import dataclasses

from trainloop.bench.check.report import CheckReport
from trainloop.report.strict_json import strict_json


def as_json(report: CheckReport) -> str:
    """Return all fields of a report, and whether it is ``ok``; numbers that JSON lacks become the texts ``nan`` and ``inf``."""
    return strict_json({"ok": report.ok, **dataclasses.asdict(report)}) + "\n"
