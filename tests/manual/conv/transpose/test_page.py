"""docs/conv-transpose.md is run as it stands: each block prints what the page says that it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "conv-transpose.md"
BLOCKS = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<printed>.*?)```", re.DOTALL)


def first_difference(text):
    """Return the first line that a block prints and the page has otherwise, or None."""
    names: dict[str, object] = {}
    for block in BLOCKS.finditer(text):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(block["code"], names)  # noqa: S102 - a page of this project
        shown, printed = block["printed"].splitlines(), out.getvalue().splitlines()
        for line, expected in zip(printed, shown, strict=False):
            if line != expected:
                return f"{line!r}, and the page says {expected!r}"
        if len(shown) != len(printed):
            return f"{len(printed)} lines, and the page has {len(shown)}"
    return None


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text(encoding="utf-8")


def test_every_block_prints_what_the_page_shows(text):
    assert first_difference(text) is None


def test_every_block_has_its_output_below_it(text):
    assert len(BLOCKS.findall(text)) == text.count("```python") == text.count("```text")


def test_a_number_that_has_rotted_is_noticed(text):
    assert "55" in first_difference(text.replace("24   55   32   36", "24   56   32   36", 1))


def test_every_link_leads_somewhere(text):
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / target).exists(), target
