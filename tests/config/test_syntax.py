from __future__ import annotations

from collections.abc import Callable

import pytest

from trainloop.errors import Fault

Refuse = Callable[..., tuple[Fault, ...]]


@pytest.mark.parametrize(
    ("text", "place", "what", "help"),
    [
        ("train:\n\tepochs: 3", "2:1", "a tab where YAML wants spaces", "use spaces to indent"),
        ("train:\n  epochs:\t3", "2:10", "a tab where YAML wants spaces", "after a colon"),
        ("train:\n  epochs: 3\n batch_size: 2", "3:2", "the indentation does not fit", "indent the keys"),
        ("train:\n  epochs: 3\n    batch_size: 2", "3:15", "a `:` where no key can stand", "the line above"),
        ("train:\n  epochs 3\n  batch_size: 2", "3:13", "a `:` where no key can stand", "each key needs its `: `"),
        ("seed: 1\nepochs 3\n", "2:1", "a line without a `:`", "write `key: value`"),
        ("optimizer: {lr: 0.1", "1:12", "a section `{` is not closed", "close it with `}`"),
        ("optimizer: {lr: 0.1]", "1:12", "a section `{` is not closed", "close it with `}`"),
        ("optimizer: {betas: [1, 2}", "1:20", "a list `[` is not closed", "close it with `]`"),
        ('model: {name: "resnet}', "1:15", "a quote is opened and never closed", "close it"),
        ('model: {name: "C:\\data"}', "1:19", "a backslash that YAML does not know", "single quotes"),
        ("model: {name: @x}", "1:15", "text cannot begin with `@`", "quotes around it"),
        ("model: {name: %x}", "1:15", "text cannot begin with `%`", "quotes around it"),
        ("model: {name: `x`}", "1:15", "text cannot begin with a backquote", "quotes around it"),
        ("optimizer:\n  groups:\n    - match: *.bias", "3:15", "`*` and `&` begin an alias", "'*.bias'"),
        ("seed: \x00", "1:7", "a character that YAML forbids", "remove it"),
        ("!foo!bar x", "1:1", "this is not YAML: found undefined tag handle '!foo!'", ""),
    ],
)
def test_a_text_that_is_not_yaml(refuse: Refuse, text: str, place: str, what: str, help: str) -> None:
    (fault,) = refuse(text)
    assert fault.where == f"c.yaml:{place}"
    assert what in fault.what
    assert help in fault.help


def test_the_line_is_shown_and_cut(refuse: Refuse) -> None:
    (fault,) = refuse(f"seed: 1\nmode: @{'x' * 100}")
    assert fault.found == "mode: @" + "x" * 52 + "…"


def test_a_forbidden_character_is_shown_by_its_code(refuse: Refuse) -> None:
    (fault,) = refuse("seed: \x7f")
    assert fault.found == "U+007F"
