from __future__ import annotations

from trainloop.config.nodes import (
    ListNode,
    MapNode,
    Origin,
    Place,
    ScalarNode,
    dotted,
    find,
    printable,
    to_data,
    to_text,
)

PLACE = Place(Origin("file", "f:1:1"), (0, 0, 0))


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("optimizer", "groups", 0, "match")) == "optimizer.groups[0].match"
    assert dotted(()) == ""


def test_text_is_cut_and_on_one_line() -> None:
    assert to_text(ScalarNode("", "a\n  b" + "c" * 20, PLACE), limit=10) == "a bcccccc…"


def test_empty_text_is_called_nothing() -> None:
    assert to_text(ScalarNode(None, "", PLACE)) == "nothing"


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[0m\u202eé\udc80") == "a\\x1b[0m\\u202eé\\udc80"


def test_what_was_not_written_is_not_found() -> None:
    root = MapNode(PLACE)
    assert find(root, ("a",)) is None
    assert find(root, ("a", 0)) is None


def test_an_empty_list_and_section_as_data_and_text() -> None:
    assert (to_data(ListNode(PLACE)), to_text(ListNode(PLACE))) == ([], "[]")
    assert (to_data(MapNode(PLACE)), to_text(MapNode(PLACE))) == ({}, "{}")
