"""What the tests of the page share: an engine for its scripts, and a browser; each says why it is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def find_node():
    """A program that runs JavaScript: node, or the one that Playwright brings along."""
    found = shutil.which("node")
    if found is None:
        driver = pytest.importorskip("playwright._impl._driver", reason="neither node nor playwright is installed")
        found = driver.compute_driver_executable()[0]
    return found


@pytest.fixture(scope="session")
def node():
    return find_node()


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[browser]")
    program = os.environ.get("TRAINLOOP_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None or not Path(program).exists():
        pytest.skip("no chromium: apt-get install chromium, or name one in TRAINLOOP_CHROMIUM")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
