"""A small checkpoint, and small runs."""

from __future__ import annotations

import pytest
from tests import small_runs


@pytest.fixture(scope="session")
def saved_at():
    """Return :func:`tests.small_runs.saved_at`."""
    return small_runs.saved_at


@pytest.fixture(scope="session")
def tiny_config():
    """Return :func:`tests.small_runs.tiny_config`."""
    return small_runs.tiny_config
