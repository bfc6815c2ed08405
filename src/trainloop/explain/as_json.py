"""An explanation as JSON; ``docs/explain-step.md`` describes the keys."""

from __future__ import annotations

import dataclasses

from trainloop.explain.results import Explanation
from trainloop.report.strict_json import strict_json

SCHEMA_VERSION = 1


def as_json(explanation: Explanation) -> str:
    """Return the facts as one JSON object; numbers that JSON lacks become the texts ``nan``, ``inf`` and ``-inf``."""
    return strict_json({"schema_version": SCHEMA_VERSION, **dataclasses.asdict(explanation)})
