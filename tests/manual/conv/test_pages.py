"""The pages about convolutions are run as they stand: each block prints what the page says, each command takes its options."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer

from trainloop.cli.app import app
from trainloop.config import load_config
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D
from trainloop.manual.conv.choice import Choice

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("convolution.md", "conv-transpose.md")
BLOCKS = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```)?", re.DOTALL)
COMMANDS = re.compile(r"^trainloop .*$", re.MULTILINE)


def first_difference(text):
    """Return the first line that a block prints and the page has otherwise, or None."""
    names: dict[str, object] = {}
    for block in BLOCKS.finditer(text):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(block["code"], names)  # noqa: S102 - a page of this project
        shown, printed = (block["printed"] or "").splitlines(), out.getvalue().splitlines()
        for there, here in itertools.zip_longest(shown, printed):
            if there != here:
                return f"it prints {here!r}, and the page says {there!r}"
    return None


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_prints_what_the_page_shows(page):
    assert first_difference(read(page)) is None


@pytest.mark.parametrize("page", PAGES)
def test_every_output_stands_below_its_block(page):
    text = read(page)
    blocks = list(BLOCKS.finditer(text))
    assert len(blocks) == text.count("```python") > 5
    assert sum(block["printed"] is not None for block in blocks) == text.count("```text") > 5


@pytest.mark.parametrize(
    ("page", "right", "rotten"),
    [
        ("conv-transpose.md", "24   55   32   36", "24   56   32   36"),
        ("convolution.md", "y = Aᵀ m          17         34", "y = Aᵀ m          17         35"),
        (
            "convolution.md",
            " 7: 4 + 3                          11 points",
            " 7: 4 + 4                          12 points",
        ),
    ],
)
def test_a_number_that_has_rotted_is_noticed(page, right, rotten):
    text = read(page)
    assert right in text
    assert repr(rotten)[1:-1] in first_difference(text.replace(right, rotten, 1))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", read(page)):
        assert (DOCS / target).exists(), target


@pytest.mark.parametrize(("page", "table"), [*zip(PAGES, (CONV2D, CONV_TRANSPOSE2D), strict=True)])
def test_no_algorithm_is_left_out(page, table):
    missing = [name for name in table if f"{name}.py" not in read(page) and f"{name}/__init__.py" not in read(page)]
    assert missing == [] or missing == ["aten"]


def commands():
    return [shlex.split(line) for line in COMMANDS.findall(read("convolution.md"))]


def test_each_command_takes_the_options_that_it_is_shown_with():
    known = typer.main.get_command(app).commands
    assert len(commands()) > 5
    for _, name, *words in commands():
        options = {option for param in known[name].params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= options, name


def test_the_algorithms_of_the_commands_are_known():
    settings = [word for words in commands() for word in words if word.startswith("stages.")]
    assert len(settings) == 2
    for setting in settings:
        Choice(load_config(None, ["mode=manual", setting]).config.stages.conv, CONV2D)
