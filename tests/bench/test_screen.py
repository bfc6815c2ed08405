"""The page: with every column in plain text, within the width of a terminal, and coloured there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from trainloop.bench.screen import as_text, print_report

PAGE = (Path(__file__).parent / "page.txt").read_text(encoding="utf-8").removesuffix("\n")


def printed(report, width, *, terminal=True):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="standard", highlight=False)
    print_report(report, console)
    return stream.getvalue()


def test_the_whole_page(report, wrong_row):
    assert as_text(report(wrong_row)) == PAGE


def test_several_problems_are_summed_up_directions_apart(report, a_row):
    text = as_text(report(a_row(problem="n2 c3 o4 h5 k1"), a_row(problem="n2 c3 o4 h5 k1", direction="grad_input")))
    summary = text[text.index("over all problems") :].splitlines()
    assert [line.split()[0] for line in summary[2:8] if line] == ["forward"] * 4 + ["grad_input"]
    assert summary[4].split() == ["forward", "winograd", "2.00×", "2.00×", "4.00", "8.00", "2", "2", "0", "0", "0"]


def test_outside_of_a_terminal_it_is_printed_as_it_is(report, wrong_row):
    stream = io.StringIO()
    console = Console(file=stream, width=60, force_terminal=False, color_system=None, highlight=False)
    print_report(report(wrong_row), console)
    assert stream.getvalue() == PAGE + "\n"


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_tables_fit_the_terminal(report, width):
    lines = printed(report(), width).splitlines()
    plain = [line.split("m", 1)[-1] if line.startswith("\x1b") else line for line in lines]
    assert any(line.startswith("direction") for line in plain)
    assert all(len(line.replace("\x1b[0m", "")) <= width for line in plain)


def test_a_narrow_terminal_says_what_is_left_out(report):
    text = " ".join(printed(report(), 100).split())
    assert "left out for want of room: IQR, n, first ms, library's, " in text
    assert "--json has everything" in text
    assert "left out" not in printed(report(), 200)


def test_colours_tell_faster_failed_and_baseline_apart(report, wrong_row):
    lines = printed(report(wrong_row), 200).splitlines()
    styles = {name: next(line for line in lines if f" {name} " in line) for name in ("winograd", "im2col", "cheat")}
    assert styles["winograd"].startswith("\x1b[32m")
    assert styles["cheat"].startswith("\x1b[1;31m")
    assert not styles["im2col"].startswith("\x1b")


def test_a_report_without_rows_is_a_page_all_the_same(report):
    assert "nothing but the built-ins was measured" in as_text(report(rows=(), summary=()))
