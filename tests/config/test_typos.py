"""Slips of the finger in every key of the schema: refused where they stand, with the key that was meant."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest

from trainloop.config import hints
from trainloop.config.outline import Key, every_key
from trainloop.errors import Fault

Refuse = Callable[..., tuple[Fault, ...]]
WANTED = 0.95
SHORT = 3
"""letters; a slip in a shorter key may be any other key"""


def slips(name: str, draw: random.Random) -> Iterator[str]:
    """Yield a word with a letter left out, one doubled, two exchanged, and one replaced by its neighbour in the alphabet."""
    place = draw.randrange(1, len(name))
    yield name[:place] + name[place + 1 :]
    yield name[:place] + name[place] + name[place:]
    yield name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :]
    letter = name[place]
    yield name[:place] + (chr(ord(letter) - 1) if letter.isalpha() and letter != "a" else "b") + name[place + 1 :]


def text_of(key: Key, word: str) -> tuple[str, str]:
    """Return a config with a word in place of a key, and where that word stands."""
    sections = key.section.split(".") if key.section else []
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    indent = "  " * len(sections)
    if key.choice:
        lines.append(f"{indent}name: {key.choice}")
    lines.append(f"{indent}{word}: 1")
    return "\n".join(lines) + "\n", f"c.yaml:{len(lines)}:{len(indent) + 1}"


def wrong() -> list[tuple[Key, str]]:
    """Return keys with a slip each; none of them is another key."""
    draw = random.Random(6)
    every = [key for key in every_key() if len(key.name) > SHORT and "[]" not in key.section]
    names = {key.name for key in every_key()}
    return [
        (key, slip) for key in every for slip in dict.fromkeys(slips(key.name, draw)) if slip not in {*names, key.name}
    ]


def share_that_is_led_back(refuse: Refuse) -> float:
    """Return the share of slips whose message names the key that was meant; each is refused where it stands."""
    led = 0
    for key, slip in wrong():
        text, place = text_of(key, slip)
        faults = [fault for fault in refuse(text) if fault.found == slip]
        assert [fault.where for fault in faults] == [place], text
        led += re.search(rf"`{re.escape(key.path)}`", faults[0].help) is not None
    return led / len(wrong())


def test_a_slip_leads_back_to_the_key(refuse: Refuse) -> None:
    assert len(wrong()) >= 120
    assert share_that_is_led_back(refuse) >= WANTED


def test_without_a_sense_of_nearness_they_do_not(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "nearest", lambda *_, **__: None)
    assert share_that_is_led_back(refuse) < WANTED
