"""Numbers as people read them."""

from __future__ import annotations

import pytest

from trainloop.report import format as formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.85, "850 ms"),
        (4.24, "4.2 s"),
        (59.9, "59.9 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (3600, "1 h 00 min"),
    ],
)
def test_duration(seconds, text):
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0.92134, "92.13 %"), (0.0, "0.00 %"), (None, "")])
def test_percent(share, text):
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(512, "512 B"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (5 * 2**30, "5.0 GiB")]
)
def test_size(num_bytes, text):
    assert formats.size(num_bytes) == text


def test_rate():
    assert formats.rate(12_345.6) == "12,346"
    assert formats.rate(12.34) == "12.3"


def test_table_is_aligned_without_trailing_spaces():
    lines = formats.table_lines(("name", "n", "note"), [("a", "1,000", ""), ("longer", "2", "x")], right=("n",))
    assert lines == ["name        n  note", "a       1,000", "longer      2  x"]


def test_facts_are_aligned():
    assert formats.fact_lines({"a": "1", "long": "2"}) == [("a     ", "1"), ("long  ", "2")]
