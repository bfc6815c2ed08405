"""What the tests of the page share: an engine for its scripts, and a browser; each says why it is not there."""

from __future__ import annotations

import contextlib
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


WAIT_MS = 10_000


class Opened:
    """A page in the browser, with everything that it asked for and said."""

    def __init__(self, page):
        self.page, self.requests, self.said = page, [], []
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def text(self, selector):
        return self.page.text_content(selector)

    def numbers(self, grid):
        rows = self.page.evaluate(
            "(grid) => [...document.querySelectorAll(`#${grid} > div`)].slice(1)"
            ".map((row) => [...row.querySelectorAll('.cell')].map((cell) => cell.textContent))",
            grid,
        )
        return [[int(text) for text in row] for row in rows]

    def marked(self, grid, mark):
        places = self.page.evaluate(
            "([grid, mark]) => [...document.querySelectorAll(`#${grid} .${mark}`)]"
            ".map((cell) => [Number(cell.dataset.row), Number(cell.dataset.column)])",
            [grid, mark],
        )
        return [tuple(place) for place in places]

    def wait_for(self, selector, text):
        # Not by a function of the page: its policy refuses to make one of a text.
        self.page.locator(selector, has_text=text).wait_for()

    def cell(self, grid, row, column):
        return self.page.locator(f"#{grid} .cell[data-row='{row}'][data-column='{column}']")

    def value(self, expression):
        return self.page.evaluate(expression)

    def change(self, **fields):
        """Type into fields of the form; stride__H is the stride along H."""
        for name, value in fields.items():
            selector = f"#f-{name.replace('__', '-')}"
            if self.value(f"document.querySelector('{selector}').tagName") == "SELECT":
                self.page.select_option(selector, value)
            else:
                self.page.fill(selector, str(value))

    def require_quiet(self):
        """No request but the page itself, and nothing on the console."""
        assert self.requests == [self.address]
        assert self.said == []


@pytest.fixture
def open_page(browser, tmp_path):
    with contextlib.ExitStack() as stack:

        def opened(html, **options):
            context = stack.enter_context(browser.new_context(**options))
            path = tmp_path / "page.html"
            path.write_text(html, encoding="utf-8")
            seen = Opened(context.new_page())
            seen.page.goto(path.as_uri())
            seen.address = path.as_uri()
            return seen

        yield opened
