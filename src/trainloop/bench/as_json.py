"""A report as JSON; ``docs/benchmark-conv.md`` explains every key."""

from __future__ import annotations

import dataclasses

from trainloop.bench.results import Report
from trainloop.report.strict_json import strict_json


def as_json(report: Report) -> str:
    """Return the report as one JSON object; numbers that JSON lacks become the texts ``nan``, ``inf`` and ``-inf``."""
    return strict_json(dataclasses.asdict(report)) + "\n"
