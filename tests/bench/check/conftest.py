"""Fewer corner cases, where a test is not about how many there are."""

from __future__ import annotations

import pytest

from trainloop.bench.check import run


@pytest.fixture
def few_corners(monkeypatch):
    """Leave one shape of each family of corner cases."""
    monkeypatch.setattr(run, "CORNERS", {name: shapes[:1] for name, shapes in run.CORNERS.items()})
