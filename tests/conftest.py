"""For all tests: compiled kernels are kept in a folder of this run, which the processes that tests start share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory):
    before = os.environ.get("TRAINLOOP_CACHE")
    os.environ["TRAINLOOP_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["TRAINLOOP_CACHE"]
    if before is not None:
        os.environ["TRAINLOOP_CACHE"] = before
