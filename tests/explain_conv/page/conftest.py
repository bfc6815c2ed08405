"""What the tests of the page share: an engine for its scripts, and a browser; each says why it is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


REQUIRED = "TRAINLOOP_REQUIRE_BROWSER"
"""set where a browser was installed for these tests, so that none of them may skip"""


def missing(what):
    """Skip with the reason, or fail where everything was installed."""
    (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(what)


def find_node():
    """A program that runs JavaScript: node, or the one that Playwright brings along."""
    found = shutil.which("node")
    if found is None:
        try:
            from playwright._impl._driver import compute_driver_executable
        except ImportError:
            missing("neither node nor playwright is installed: make browser")
        found = compute_driver_executable()[0]
    return found


@pytest.fixture(scope="session")
def node():
    return find_node()


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: make browser")
    program = os.environ.get("TRAINLOOP_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None or not Path(program).exists():
        missing("no chromium: apt-get install chromium, or name one in TRAINLOOP_CHROMIUM")
    # Chromium refuses to run as root inside its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
