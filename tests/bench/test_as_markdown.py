"""Markdown: tables that a page can show."""

from __future__ import annotations

from trainloop.bench.as_markdown import as_markdown


def test_the_page_opens_with_what_it_comes_to(report):
    lines = as_markdown(report()).splitlines()
    assert lines[0] == "# Ways to compute a convolution"
    assert lines[2] == "winograd forward 2.00×; im2col forward 0.50× (measured in 12.0 s)"


def test_every_table_has_as_many_cells_as_columns(report, wrong_row):
    tables = [line for line in as_markdown(report(wrong_row)).splitlines() if line.startswith("|")]
    counts = [line.replace(r"\|", "").count("|") for line in tables]
    assert sorted(set(counts)) == [12, 16]


def test_the_baseline_is_bold_and_reasons_stand_below(report, wrong_row):
    text = as_markdown(report(wrong_row))
    assert "| **forward** | **aten channels\\_last** | **4.00** |" in text
    assert "- not run  loops: it would take 3 minutes" in text
    assert "- FAIL  cheat: all elements are 0" in text


def test_what_markdown_would_read_is_escaped(report, a_row):
    text = as_markdown(report(a_row(algorithm="a|b*c", kernel="<i>`x`")))
    assert r"a\|b\*c" in text
    assert r"\<i>\`x\`" in text
