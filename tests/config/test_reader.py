from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainloop.config.nodes import MapNode, Node, Origin, Place, PlacedFault, find, to_data
from trainloop.config.reader import MAX_DEPTH, MAX_VALUES, read_yaml
from trainloop.errors import Fault


def locate(line: int, column: int) -> Place:
    return Place(Origin("file", f"f:{line + 1}:{column + 1}"), (0, line, column))


def read(text: str) -> tuple[Node | None, list[Fault]]:
    faults: list[PlacedFault] = []
    node = read_yaml(text, locate, faults)
    return node, [placed.fault for placed in faults]


def read_well(text: str) -> MapNode:
    node, faults = read(text)
    assert not faults
    assert isinstance(node, MapNode)
    return node


def only_fault(text: str) -> Fault:
    _, faults = read(text)
    (fault,) = faults
    return fault


def test_values_are_read_by_the_core_rules() -> None:
    node = read_well("a: off\nb: 010\nc: 1e-3\nd: [true, null, ~]\ne: {f: 'off'}\ng: 1:30\n")
    assert to_data(node) == {"a": "off", "b": 10, "c": 1e-3, "d": [True, None, None], "e": {"f": "off"}, "g": "1:30"}


def test_keys_are_always_text() -> None:
    assert to_data(read_well("on: 1\n1: 2\nnull: 3\n")) == {"on": 1, "1": 2, "null": 3}


def test_every_key_and_value_has_its_line_and_column() -> None:
    entry = find(read_well("a: 1\nb:\n  c:   [1, 22]\n"), ("b", "c"))
    assert entry is not None
    assert entry.key_place.origin.where == "f:3:3"
    assert entry.node.place.origin.where == "f:3:8"


def test_items_have_places_too() -> None:
    entry = find(read_well("c: [1, 22]\n"), ("c", 1))
    assert entry is not None
    assert entry.node.place.origin.where == "f:1:8"


@pytest.mark.parametrize("style", ["|\n  3", ">\n  3", "'3'", '"3"'])
def test_quoted_and_block_text_stays_text(style: str) -> None:
    value = to_data(read_well(f"a: {style}\n"))["a"]
    assert (value.strip(), type(value)) == ("3", str)


def test_a_duplicate_key_names_both_places_and_the_first_value_stays() -> None:
    node, (fault,) = read("a: 1\nb: 2\na: 3\n")
    assert (fault.what, fault.where) == ("`a` is given twice in one section", "f:3:1")
    assert fault.help == "first at f:1:1; keep one"
    assert node is not None
    assert to_data(node) == {"a": 1, "b": 2}


def test_the_same_key_in_two_sections_is_no_duplicate() -> None:
    read_well("a: {x: 1}\nb: {x: 2}\n")


@pytest.mark.parametrize(
    ("text", "where", "what", "found"),
    [
        ("a: &x 1", "f:1:4", "anchors are not allowed", "&x"),
        ("a: *x", "f:1:4", "aliases are not allowed", "*x"),
        ("a: !!python/object:os.system {}", "f:1:4", "tags are not allowed", "!!python/object:os.system"),
        ("a: !!str 3", "f:1:4", "tags are not allowed", "!!str"),
        ("a: !x 3", "f:1:4", "tags are not allowed", "!x"),
        ("<<: {a: 1}", "f:1:1", "merge keys are not allowed", "<<"),
        ("? [a]\n: 3", "f:1:3", "a key must be plain text", ""),
        ("a: 1\n---\nb: 2", "f:3:1", "a second document begins here", ""),
        ('a: "\\ud800"', "f:1:4", "text that is not valid Unicode", "'\\ud800'"),
    ],
)
def test_what_yaml_allows_and_a_config_does_not(text: str, where: str, what: str, found: str) -> None:
    fault = only_fault(text)
    assert (fault.where, fault.what, fault.found) == (where, what, found)


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9}]\n" for n in range(9))
    _, faults = read(bomb)
    assert {fault.what for fault in faults} == {"anchors are not allowed", "aliases are not allowed"}


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000, "- " * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    fault = only_fault(text)
    assert (fault.what, fault.expected) == ("nested too deeply", f"at most {MAX_DEPTH} levels")


def test_too_many_values_are_refused() -> None:
    fault = only_fault("".join(f"k{number}: 1\n" for number in range(MAX_VALUES + 1)))
    assert (fault.what, fault.expected) == ("too many values for a config", f"at most {MAX_VALUES}")


def test_an_empty_text_has_no_node() -> None:
    assert read("# nothing\n") == (None, [])


@given(st.text(alphabet="ab:-[]{}'\"#&*!|>%@`?, \n\t01.~\\\x00é", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    _, faults = read(text)
    assert all(fault.what and fault.where.startswith("f:") for fault in faults)
