"""The picture stands alone, and any report can be drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from trainloop.bench.chart import KINDS, chart


def test_an_svg_needs_no_other_file(report, wrong_row):
    text = chart(report(wrong_row), "svg").decode()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    images = [one for one in root.iter() if one.tag.endswith(("image", "script", "text"))]
    links = [value for one in root.iter() for key, value in one.attrib.items() if key.endswith("href")]
    assert images == []
    assert all(link.startswith("#") for link in links)


def test_the_same_report_is_the_same_picture(report):
    assert chart(report(), "svg") == chart(report(), "svg")


def test_a_png_is_one(report):
    assert chart(report(), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_rows_can_be_drawn(report, kind):
    assert chart(report(rows=(), summary=()), kind)


def test_a_dollar_begins_no_formula(report, a_row):
    assert chart(report(a_row(algorithm="a$b_{"), complete=False), "svg")


def test_rows_of_one_direction_make_one_panel(report, a_row):
    one = chart(report(), "svg").decode()
    two = chart(report(a_row(direction="grad_input")), "svg").decode()
    assert (one.count('id="axes_'), two.count('id="axes_')) == (1, 2)
